import Logging
import Synchronization
import Testing

@testable import Orchestrator

@Suite(.timeLimit(.minutes(5))) struct SinkRunnerTests {
    private let log = FakeLog()
    private let sink = FakeSink()
    private let clock = SteppedClock()
    private let registry = MetricsRegistry()

    private func runner(_ adjust: (inout SinkPacing) -> Void = { _ in }) -> SinkRunner<SteppedClock> {
        var pacing = SinkPacing()
        // Nobody would move the clock on.
        pacing.gatherTime = .zero
        adjust(&pacing)
        return SinkRunner(
            sink: sink, feed: log.feed, metrics: SinkMetrics(registry), pacing: pacing, clock: clock,
            now: { Timestamp(nanoseconds: 5_000_000_000) }, logger: Logger(label: "test"))
    }

    private func number(_ name: String) -> Double? {
        let family = registry.snapshot().first { $0.name == name }
        guard case .number(let value)? = family?.samples.first?.value else { return nil }
        return value
    }

    @Test func `history comes first, then what is committed, each once and in order`() async {
        log.append(3)
        let runner = runner { $0.batchSize = 2 }
        let run = Task { await runner.run() }
        #expect(await soon { sink.taken == [1, 2, 3] })
        log.append(2)
        #expect(await soon { sink.taken == [1, 2, 3, 4, 5] && runner.status.position == 5 })
        #expect(number("orchestrator_sink_delivered_events_total") == 5)
        #expect(number("orchestrator_sink_lag_events") == 0)
        #expect(number("orchestrator_sink_last_success_timestamp_seconds") == 5)
        runner.stop()
        await run.value
    }

    @Test func `a busy log costs one delivery a gathering, and the first event waits for nothing`() async {
        log.append(1)
        let runner = runner { pacing in
            pacing.gatherTime = .milliseconds(5)
            pacing.batchSize = 100
        }
        let run = Task { await runner.run() }
        #expect(await soon { sink.taken == [1] && clock.deadlines.contains(.milliseconds(5)) })
        log.append(1)
        log.append(1)
        // Both are there, and are given together.
        clock.advance(by: .milliseconds(5))
        #expect(await soon { sink.batches == [[1], [2, 3]] && clock.deadlines.contains(.milliseconds(10)) })
        // Who is behind by more than one batch goes on at once.
        log.append(250)
        clock.advance(by: .milliseconds(5))
        #expect(await soon { sink.batches.map(\.count) == [1, 2, 100, 100] })
        clock.advance(by: .milliseconds(5))
        #expect(await soon { sink.taken.count == 253 })
        runner.stop()
        clock.advance(by: .seconds(1))
        await run.value
    }

    @Test func `the cursor moves only after a flush, once an interval`() async {
        log.append(1)
        let runner = runner()
        let run = Task { await runner.run() }
        #expect(await soon { sink.taken == [1] && clock.deadlines == [.seconds(1)] })
        #expect(log.saved == nil)
        clock.advance(by: .seconds(1))
        #expect(await soon { log.saved == 1 })
        #expect(sink.flushes == 1)
        runner.stop()
        await run.value
    }

    @Test func `it resumes after its cursor`() async {
        log.append(5)
        log.save(3)
        let runner = runner()
        let run = Task { await runner.run() }
        #expect(await soon { sink.taken == [4, 5] })
        runner.stop()
        await run.value
    }

    @Test func `what the sink has beyond the cursor is not given again`() async {
        log.append(5)
        log.save(2)
        sink.has(4)
        let runner = runner()
        let run = Task { await runner.run() }
        #expect(await soon { sink.taken == [5] })
        runner.stop()
        await run.value
    }

    @Test func `a sink that is ahead of the ledger does not hide new events`() async {
        log.append(1)
        sink.has(400)
        let runner = runner()
        let run = Task { await runner.run() }
        #expect(await soon { runner.status.position == 1 })
        log.append(1)
        #expect(await soon { sink.taken == [2] })
        runner.stop()
        await run.value
    }

    @Test func `a failing sink is tried again after pauses that double up to the longest, and loses nothing`() async {
        sink.fail(times: 4)
        log.append(2)
        let runner = runner {
            $0.initialBackoff = .seconds(1)
            $0.maxBackoff = .seconds(3)
        }
        let run = Task { await runner.run() }
        for (pause, errors) in [(1, 1), (2, 2), (3, 3), (3, 4)] {
            let until = clock.now.offset + .seconds(pause)
            #expect(await soon { clock.deadlines == [until] })
            #expect(number("orchestrator_sink_errors_total") == Double(errors))
            #expect(number("orchestrator_sink_lag_events") == 2)
            #expect(runner.status.error == "the sink is down")
            // New events don't end the pause.
            log.wake()
            clock.advance(by: .seconds(pause))
        }
        #expect(await soon { sink.taken == [1, 2] && runner.status.error == nil })
        runner.stop()
        await run.value
    }

    @Test func `at a stop everything is delivered, flushed and remembered`() async {
        log.append(1)
        let runner = runner { $0.batchSize = 10 }
        let run = Task { await runner.run() }
        #expect(await soon { sink.taken == [1] })
        log.appendQuietly(25)
        runner.stop()
        await run.value
        #expect(sink.taken == Array(1...26))
        #expect(log.saved == 26)
    }

    @Test func `a stop ends a pause with one more try`() async {
        sink.fail(times: 1)
        log.append(1)
        let runner = runner { $0.initialBackoff = .seconds(30) }
        let run = Task { await runner.run() }
        #expect(await soon { clock.deadlines == [.seconds(30)] })
        runner.stop()
        await run.value
        #expect(sink.taken == [1])
        #expect(log.saved == 1)
    }

    @Test func `a sink that hangs holds up a stop no longer than the grace`() async {
        sink.hang()
        log.append(1)
        let runner = runner { $0.shutdownGrace = .seconds(5) }
        let run = Task { await runner.run() }
        #expect(await soon { sink.isHanging })
        runner.stop()
        #expect(await soon { clock.deadlines == [.seconds(5)] })
        clock.advance(by: .seconds(5))
        await run.value
        #expect(log.saved == nil)
    }

    @Test func `events that are gone are passed over`() async {
        log.append(10)
        log.drop(below: 8)
        log.save(2)
        let runner = runner()
        let run = Task { await runner.run() }
        #expect(await soon { sink.taken == [8, 9, 10] })
        runner.stop()
        await run.value
    }

    @Test func `a sink that takes only some is given the rest next`() async {
        sink.take(most: 2)
        log.append(5)
        let runner = runner()
        let run = Task { await runner.run() }
        #expect(await soon { sink.taken == [1, 2, 3, 4, 5] && runner.status.position == 5 })
        #expect(number("orchestrator_sink_delivered_events_total") == 5)
        runner.stop()
        await run.value
        #expect(sink.isClosed)
    }

    @Test func `an event that the sink refuses is passed over, counted and told`() async {
        sink.refuse([2])
        log.append(3)
        let runner = runner()
        let run = Task { await runner.run() }
        #expect(await soon { sink.taken == [1, 3] && runner.status.position == 3 })
        #expect(number("orchestrator_sink_delivered_events_total") == 2)
        let refused = registry.snapshot().first { $0.name == "orchestrator_sink_refused_events_total" }
        let invalid = refused?.samples.first { $0.labels.contains(MetricLabel("reason", "invalid")) }
        #expect(invalid?.value == .number(1))
        #expect(runner.status.refusal?.sequence == 2 && runner.status.error == nil)
        runner.stop()
        await run.value
        #expect(log.saved == 3)
    }

    @Test func `what a sink waits out itself is told until it has worked`() async {
        sink.hang()
        log.append(1)
        let runner = runner()
        let run = Task { await runner.run() }
        #expect(await soon { sink.isHanging })
        sink.trouble("all brokers are down")
        sink.trouble("all brokers are down")
        #expect(runner.status.error == "all brokers are down")
        #expect(number("orchestrator_sink_errors_total") == 1)
        run.cancel()
        await run.value
    }

    @Test func `trouble while nothing is on its way is nobody's`() async {
        log.append(1)
        let runner = runner()
        let run = Task { await runner.run() }
        #expect(await soon { runner.status.position == 1 && clock.deadlines == [.seconds(1)] })
        sink.trouble("an idle connection was closed")
        #expect(runner.status.error == nil)
        runner.stop()
        await run.value
    }

    @Test func `what needs no flush is remembered even when the rest hangs at a stop`() async {
        let sink = FakeSink(keepsAtOnce: true)
        log.append(2)
        var pacing = SinkPacing()
        pacing.gatherTime = .zero
        let runner = SinkRunner(
            sink: sink, feed: log.feed, metrics: SinkMetrics(registry), pacing: pacing, clock: clock,
            logger: Logger(label: "test"))
        let run = Task { await runner.run() }
        #expect(await soon { sink.taken == [1, 2] })
        sink.hang()
        log.append(1)
        #expect(await soon { sink.isHanging })
        run.cancel()
        await run.value
        #expect(log.saved == 2)
    }

    @Test func `cancelling ends it at once`() async {
        let runner = runner()
        let run = Task { await runner.run() }
        run.cancel()
        await run.value
    }
}

/// An event log in memory.
private final class FakeLog: Sendable {
    private struct State {
        var last: UInt64 = 0
        var oldest: UInt64 = 1
        var saved: UInt64?
        var wakers: [@Sendable () -> Void] = []
    }

    private let state = Mutex(State())

    var saved: UInt64? { state.withLock { $0.saved } }

    func save(_ sequence: UInt64) { state.withLock { $0.saved = sequence } }
    func drop(below oldest: UInt64) { state.withLock { $0.oldest = oldest } }
    func appendQuietly(_ count: UInt64) { state.withLock { $0.last += count } }
    func wake() { for waker in state.withLock({ $0.wakers }) { waker() } }

    func append(_ count: UInt64) {
        appendQuietly(count)
        wake()
    }

    var feed: EventFeed {
        EventFeed(
            events: { after, limit in
                let (last, oldest) = self.state.withLock { ($0.last, $0.oldest) }
                if after + 1 < oldest { throw OrchestratorError(.outOfRange(oldest: oldest), "gone") }
                guard after < last else { return [] }
                return (after + 1...last).prefix(limit).map { sequence in
                    Event(
                        sequence: sequence, type: .taskSubmitted, jobID: "j", time: Timestamp(nanoseconds: 0),
                        attempt: 0, state: .queued, data: [], source: "rpc")
                }
            },
            lastSequence: { self.state.withLock { $0.last } },
            follow: { waker in
                self.state.withLock { $0.wakers.append(waker) }
                return { self.state.withLock { $0.wakers.removeAll() } }
            },
            cursor: { _ in self.saved },
            saveCursor: { _, sequence in self.save(sequence) })
    }
}

private final class FakeSink: EventSink {
    private struct Down: Error, CustomStringConvertible {
        var description: String { "the sink is down" }
    }

    private struct State {
        var taken: [UInt64] = []
        var batches: [[UInt64]] = []
        var flushes = 0
        var failures = 0
        var there: UInt64?
        var hangs = false
        var isHanging = false
        var most = Int.max
        var refuses: Set<UInt64> = []
        var trouble: @Sendable (String) -> Void = { _ in }
        var isClosed = false
    }

    let name = "fake"
    let keepsAtOnce: Bool
    private let state = Mutex(State())

    init(keepsAtOnce: Bool = false) { self.keepsAtOnce = keepsAtOnce }

    var isClosed: Bool { state.withLock { $0.isClosed } }
    func take(most: Int) { state.withLock { $0.most = most } }
    func refuse(_ sequences: Set<UInt64>) { state.withLock { $0.refuses = sequences } }
    func trouble(_ words: String) { state.withLock { $0.trouble }(words) }

    var taken: [UInt64] { state.withLock { $0.taken } }
    /// What was given at once, and taken.
    var batches: [[UInt64]] { state.withLock { $0.batches } }
    var flushes: Int { state.withLock { $0.flushes } }
    var isHanging: Bool { state.withLock { $0.isHanging } }

    func fail(times: Int) { state.withLock { $0.failures = times } }
    func has(_ sequence: UInt64) { state.withLock { $0.there = sequence } }
    func hang() { state.withLock { $0.hangs = true } }

    func deliver(_ events: [Event]) async throws -> Delivery {
        let hangs = state.withLock { state in
            state.isHanging = state.hangs
            return state.hangs
        }
        // For ever: until the task is cancelled.
        if hangs { try await Task.sleep(for: .seconds(3600)) }
        return try state.withLock { state in
            if state.failures > 0 {
                state.failures -= 1
                throw Down()
            }
            let some = events.prefix(state.most)
            state.batches.append(some.map(\.sequence))
            let refused = some.filter { state.refuses.contains($0.sequence) }.map(\.sequence)
            state.taken += some.map(\.sequence).filter { !refused.contains($0) }
            return Delivery(
                taken: some.count,
                refusals: refused.map { SinkRefusal(sequence: $0, reason: .invalid, detail: "no") })
        }
    }

    func begin(_ trouble: @escaping @Sendable (String) -> Void) async { state.withLock { $0.trouble = trouble } }
    func close() async { state.withLock { $0.isClosed = true } }

    func flush() async throws { state.withLock { $0.flushes += 1 } }

    func lastDelivered(_ lookup: (UInt64) async throws -> Event?) async throws -> UInt64? {
        state.withLock { $0.there }
    }
}
