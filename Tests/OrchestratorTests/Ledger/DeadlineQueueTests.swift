import Testing

@testable import Orchestrator

@Suite struct DeadlineQueueTests {
    func at(_ seconds: Int64) -> Timestamp { Timestamp(nanoseconds: seconds * 1_000_000_000) }

    @Test func `what has passed is told, the earliest first, until it is removed`() {
        var queue = DeadlineQueue()
        for (id, seconds) in [("c", 3), ("a", 1), ("b", 2)] { queue.set(id, at(Int64(seconds))) }
        #expect(queue.nextTime == at(1))
        #expect(queue.passed(by: at(2), limit: 10) == ["a", "b"])
        #expect(queue.passed(by: at(3), limit: 2) == ["a", "b"])
        queue.remove("a")
        queue.remove("nobody")
        #expect(queue.passed(by: at(3), limit: 10) == ["b", "c"])
        queue.set("b", at(9))
        #expect(queue.passed(by: at(3), limit: 10) == ["c"])
        #expect(queue.passed(by: at(9), limit: 10) == ["c", "b"])
    }

    @Test func `it holds what is open, not what was`() {
        var queue = DeadlineQueue()
        for number in 0..<100_000 {
            queue.set("\(number)", at(Int64(1_000_000 - number)))
            if number >= 10 { queue.remove("\(number - 10)") }
        }
        #expect(queue.count == 10 && queue.heldEntries < 200)
        #expect(queue.nextTime == at(900_001))
    }
}
