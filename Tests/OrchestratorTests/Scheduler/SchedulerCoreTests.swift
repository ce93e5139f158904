import Testing

@testable import Orchestrator

@Suite struct SchedulerCoreTests {
    private var core = SchedulerCore(limits: [.cpuShort: 2, .gpu: 1])

    private func time(_ seconds: Int64) -> Timestamp { Timestamp(nanoseconds: seconds * 1_000_000_000) }

    private func entry(
        _ id: String, priority: Int32 = 0, submitted: Int64 = 0, notBefore: Int64? = nil
    ) -> ClassQueue.Entry {
        ClassQueue.Entry(
            key: JobKey(id), priority: priority, submittedAt: time(submitted), notBefore: notBefore.map { time($0) })
    }

    @Test mutating func `a class starts up to its limit, and the next when one has ended`() {
        for id in ["a", "b", "c"] { core.enqueued(entry(id), .cpuShort) }
        core.enqueued(entry("g"), .gpu)
        let starts = core.next(now: time(0)).starts
        #expect(starts.map(\.id) == ["a", "b", "g"])
        #expect(core.next(now: time(0)) == SchedulerCore.Actions())
        core.ended(starts[1].slot)
        #expect(core.next(now: time(0)).starts.map(\.id) == ["c"])
        #expect(core.loads[.cpuShort] == SchedulerCore.Load(limit: 2, inFlight: 2, waiting: 0))
    }

    @Test mutating func `higher priority first, then the order of submission, also of those that return`() {
        core = SchedulerCore(limits: [.cpuShort: 9])
        core.enqueued(entry("late", submitted: 3), .cpuShort)
        core.enqueued(entry("low", priority: -1, submitted: 0), .cpuShort)
        core.enqueued(entry("high", priority: 5, submitted: 9), .cpuShort)
        core.enqueued(entry("same 1", submitted: 3), .cpuShort)
        core.enqueued(entry("retried", submitted: 1), .cpuShort)
        #expect(core.next(now: time(9)).starts.map(\.id) == ["high", "retried", "late", "same 1", "low"])
    }

    @Test mutating func `a job in its back-off waits for the end of it`() {
        core.enqueued(entry("a", notBefore: 5), .cpuShort)
        core.enqueued(entry("b", notBefore: 3), .cpuShort)
        #expect(core.next(now: time(1)) == SchedulerCore.Actions(wakeAt: time(3)))
        #expect(core.next(now: time(3)).starts.map(\.id) == ["b"])
        let actions = core.next(now: time(5))
        #expect(actions.starts.map(\.id) == ["a"])
        #expect(actions.wakeAt == nil)
    }

    @Test mutating func `priority counts among those whose back-off has ended`() {
        core = SchedulerCore(limits: [.cpuShort: 1])
        core.enqueued(entry("plain"), .cpuShort)
        core.enqueued(entry("urgent", priority: 1, notBefore: 2), .cpuShort)
        #expect(core.next(now: time(2)).starts.map(\.id) == ["urgent"])
    }

    @Test mutating func `a withdrawn job does not start`() {
        core.enqueued(entry("a"), .cpuShort)
        core.enqueued(entry("b", notBefore: 1), .cpuShort)
        core.enqueued(entry("c"), .cpuShort)
        core.withdrawn(JobKey("a"), .cpuShort)
        core.withdrawn(JobKey("b"), .cpuShort)
        core.withdrawn(JobKey("unknown"), .gpu)
        #expect(core.next(now: time(9)).starts.map(\.id) == ["c"])
        #expect(core.loads[.cpuShort]?.waiting == 0)
    }

    @Test mutating func `a job told of twice starts once, as it was told last`() {
        core.enqueued(entry("a"), .cpuShort)
        core.enqueued(entry("a", notBefore: 5), .cpuShort)
        #expect(core.next(now: time(0)).starts == [])
        #expect(core.next(now: time(5)).starts.map(\.id) == ["a"])
        #expect(core.next(now: time(9)).starts == [])
    }

    @Test mutating func `an adopted attempt fills a slot, even beyond the limit`() {
        let slots = [core.adopted(.gpu), core.adopted(.gpu)]
        core.enqueued(entry("g"), .gpu)
        core.ended(slots[0])
        #expect(core.next(now: time(0)).starts == [])
        core.ended(slots[1])
        #expect(core.next(now: time(0)).starts.map(\.id) == ["g"])
    }

    @Test mutating func `a machine that is short is left alone, longer each time`() {
        core.enqueued(entry("a"), .cpuShort)
        core.startFailed(now: time(0))
        core.startFailed(now: time(0))
        let first = time(0).advanced(by: .milliseconds(200))
        #expect(core.next(now: time(0)) == SchedulerCore.Actions(wakeAt: first))
        core.startFailed(now: first)
        #expect(core.next(now: first).wakeAt == first.advanced(by: .milliseconds(200)))
        for second in 1...20 { core.startFailed(now: time(Int64(second) * 100)) }
        #expect(core.next(now: time(2000)).wakeAt == time(2010))
        core.startSucceeded()
        #expect(core.next(now: time(2010)).starts.map(\.id) == ["a"])
        core.startFailed(now: time(3000))
        #expect(core.next(now: time(3000)).wakeAt == time(3000).advanced(by: .milliseconds(100)))
    }

    @Test mutating func `nothing starts in a drain`() {
        core.enqueued(entry("a"), .cpuShort)
        core.drained()
        #expect(core.next(now: time(0)) == SchedulerCore.Actions())
    }

    @Test mutating func `100,000 waiting jobs come out in order`() {
        core = SchedulerCore(limits: [.cpuShort: .max])
        for index in 0..<100_000 { core.enqueued(entry("\(index)", submitted: Int64(index)), .cpuShort) }
        #expect(core.next(now: time(1_000_000)).starts.map(\.id) == (0..<100_000).map(String.init))
    }
}
