import NIOCore
import Testing

@testable import RPCServer

@Suite struct LoopTimersTests {
    private func at(_ second: UInt64) -> NIODeadline { .uptimeNanoseconds(second * 1_000_000_000) }

    private func ring(_ timers: inout LoopTimers<String>, at now: NIODeadline) -> [String] {
        var rung: [String] = []
        while let name = timers.popDue(now) { rung.append(name) }
        return rung
    }

    private func add(_ timers: inout LoopTimers<String>, _ id: UInt64, at second: UInt64) {
        timers.add(id, at(second), "\(id)")
    }

    @Test func `they ring in the order of their deadlines, and none before its own`() {
        var timers = LoopTimers<String>()
        for (id, second) in [(1, 5), (2, 3), (3, 3), (4, 9)] { add(&timers, UInt64(id), at: UInt64(second)) }
        #expect(timers.next() == at(3))
        #expect(ring(&timers, at: at(2)) == [])
        #expect(ring(&timers, at: at(5)) == ["2", "3", "1"])
        #expect(timers.next() == at(9) && timers.count == 1)
    }

    @Test func `a cancelled one does not ring, and is not waited for`() {
        var timers = LoopTimers<String>()
        for id in 1...3 { add(&timers, UInt64(id), at: UInt64(id)) }
        timers.cancel(1)
        timers.cancel(2)
        timers.cancel(7)
        #expect(timers.next() == at(3))
        #expect(ring(&timers, at: at(9)) == ["3"])
        timers.cancel(3)
        #expect(timers.next() == nil && timers.count == 0)
    }

    @Test func `far deadlines that were cancelled do not pile up`() {
        var timers = LoopTimers<String>()
        add(&timers, 1, at: 1)
        for id in 2...10_000 {
            add(&timers, UInt64(id), at: 7_200)
            timers.cancel(UInt64(id))
        }
        #expect(timers.leftovers <= 65)
        #expect(ring(&timers, at: at(9_000)) == ["1"])
    }
}
