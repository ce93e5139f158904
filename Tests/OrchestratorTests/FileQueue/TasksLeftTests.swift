import Testing

@testable import Orchestrator

@Suite struct TasksLeftTests {
    private let all = ClaimRoom.unlimited(Set(JobClass.allCases))

    @Test func `they come in their order when their class has room`() {
        var left = TasksLeft()
        for name in ["a", "b"] { left.add(name, .cpuLong) }
        left.add("c", .gpu)
        #expect(left.next(.unlimited([.cpuShort])) == nil)
        #expect(left.next(.unlimited([.gpu])) == "c")
        #expect(left.next(all) == "a")
        #expect(left.next(all) == "b")
        #expect(left.next(all) == nil)
        #expect(left.counts == [:])
    }

    @Test func `a new listing forgets what is gone, and tells what is new`() {
        var left = TasksLeft()
        for name in ["b", "c", "d"] { left.add(name, .cpuLong) }
        left.add("b", .cpuLong)
        #expect(left.keep(["a", "b", "d", "e"]) == ["a", "e"])
        #expect(left.counts == [.cpuLong: 2])
        #expect(left.next(all) == "b")
        #expect(left.next(all) == "d")
    }
}
