import Testing

@testable import Orchestrator

@Suite struct ClaimRoomTests {
    private func load(_ limit: Int, _ inFlight: Int = 0, _ waiting: Int = 0) -> Scheduler.ClassLoad {
        Scheduler.ClassLoad(limit: limit, inFlight: inFlight, waiting: waiting)
    }

    /// How many can be taken, up to 100.
    private func taken(_ jobClass: JobClass, _ room: ClaimRoom) -> Int {
        var room = room
        var count = 0
        while count < 100, room.take(jobClass) { count += 1 }
        return count
    }

    @Test func `short tasks have as many waiting as at work, long ones none`() {
        let room = ClaimRoom(
            Set(JobClass.allCases), loads: [.cpuShort: load(4), .cpuLong: load(4), .gpu: load(1)], claimed: [:])
        #expect(taken(.cpuShort, room) == 8)
        #expect(taken(.cpuLong, room) == 4)
        #expect(taken(.gpu, room) == 1)
    }

    @Test func `what is there already takes room, whoever has counted it`() {
        let loads = [JobClass.cpuShort: load(4, 2, 1), .cpuLong: load(4, 3)]
        let room = ClaimRoom(Set(JobClass.allCases), loads: loads, claimed: [.cpuShort: 6, .cpuLong: 1])
        #expect(taken(.cpuShort, room) == 2)
        #expect(taken(.cpuLong, room) == 1)
    }

    @Test func `a limit that was lowered leaves no room, not less than none`() {
        #expect(taken(.cpuLong, ClaimRoom([.cpuLong], loads: [.cpuLong: load(1, 5)], claimed: [:])) == 0)
    }

    @Test func `a class that is not run here has no room`() {
        #expect(taken(.gpu, ClaimRoom([.cpuShort], loads: [.gpu: load(8)], claimed: [:])) == 0)
        #expect(taken(.gpu, .unlimited([.cpuShort])) == 0)
    }

    @Test func `what others execute, and who is alone, has any room`() {
        #expect(taken(.gpuSlurm, ClaimRoom(Set(JobClass.allCases), loads: [:], claimed: [:])) == 100)
        #expect(taken(.cpuShort, .unlimited([.cpuShort])) == 100)
    }
}
