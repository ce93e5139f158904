import Logging
import Synchronization

/// How a sink is fed.
public struct SinkPacing: Sendable {
    /// Events given at once, at most. Default 1000.
    public var batchSize = 1000
    /// Between the beginnings of two deliveries, at least, so that a busy log does not cost a sink a delivery for each
    /// commit. The first event after a quiet time goes at once. Default 5 ms.
    public var gatherTime: Duration = .milliseconds(5)
    /// Between two flushes, each followed by the cursor's move, while events come. Default 1 s.
    public var flushInterval: Duration = .seconds(1)
    /// After the first failure; doubles with each further one. Default 100 ms.
    public var initialBackoff: Duration = .milliseconds(100)
    /// The longest pause. Default 30 s.
    public var maxBackoff: Duration = .seconds(30)
    /// To catch up once the server stops. Default 5 s.
    public var shutdownGrace: Duration = .seconds(5)

    public init() {}
}

/// How a sink is doing.
public struct SinkStatus: Sendable, Equatable {
    /// Sequence of the last event the sink took.
    public var position: UInt64 = 0
    /// nil before the first delivery.
    public var lastSuccess: Timestamp?
    /// Of the newest attempt; nil when it worked.
    public var error: String?
    /// The newest event that the sink refused, and that was passed over.
    public var refusal: SinkRefusal?
}

/// Feeds one sink from the event log, in order and without loss: a cursor that moves when the sink has taken events for
/// good, and is kept in the ledger. A sink that is slow or down only falls behind; nothing waits for it.
///
/// Delivery is at least once. After a failure the same events are given again, with a growing pause between.
public final class SinkRunner<SinkClock: Clock>: Sendable where SinkClock.Duration == Duration {
    private struct State {
        var status = SinkStatus()
        var isStopping = false
        /// While an attempt is made; trouble outside of one is over before anybody hears of it.
        var isTrying = false
        var work: Task<Void, Never>?
    }

    public let sink: any EventSink
    private let feed: EventFeed
    private let pacing: SinkPacing
    private let clock: SinkClock
    private let now: @Sendable () -> Timestamp
    private let logger: Logger
    private let delivered: Counter
    private let errors: Counter
    private let lost: Counter
    private let refused: [SinkRefusal.Reason: Counter]
    private let lastSuccess: Gauge
    private let signal = WakeSignal()
    private let state = Mutex(State())

    public init(
        sink: any EventSink, feed: EventFeed, metrics: SinkMetrics, pacing: SinkPacing = SinkPacing(),
        clock: SinkClock = ContinuousClock(), now: @escaping @Sendable () -> Timestamp = { Timestamp.now() },
        logger: Logger
    ) {
        self.sink = sink
        self.feed = feed
        self.pacing = pacing
        self.clock = clock
        self.now = now
        self.logger = logger
        delivered = metrics.delivered[sink.name]
        errors = metrics.errors[sink.name]
        lastSuccess = metrics.lastSuccess[sink.name]
        lost = metrics.lost[sink.name]
        refused = metrics.refused(sink.name)
        feed.wait(sink.name)
        metrics.follow(sink.name) { [weak self] in self?.lag ?? 0 }
    }

    public var status: SinkStatus { state.withLock { $0.status } }

    /// Events in the log that the sink has not taken yet.
    public var lag: UInt64 {
        let last = feed.lastSequence()
        return last - min(last, status.position)
    }

    /// Feeds the sink until `stop()`, and then what is still missing, as far as the grace allows. Cancelling the task
    /// ends it at once; what was not flushed is delivered again at the next start.
    public func run() async {
        let unfollow = feed.follow { [signal] in signal.notify() }
        defer { unfollow() }
        let work = Task { await feedSink() }
        state.withLock { $0.work = work }
        await withTaskCancellationHandler {
            await work.value
        } onCancel: {
            work.cancel()
        }
    }

    /// Asks `run()` to deliver what there is and to return.
    public func stop() {
        let isFirst = state.withLock { state in
            defer { state.isStopping = true }
            return !state.isStopping
        }
        guard isFirst else { return }
        signal.notify()
        // A sink that hangs can't hold up the shutdown: its delivery is cancelled.
        Task { [clock, grace = pacing.shutdownGrace] in
            try? await clock.sleep(for: grace)
            self.state.withLock { $0.work }?.cancel()
        }
    }

    private var isStopping: Bool { state.withLock { $0.isStopping } }

    private func feedSink() async {
        await sink.begin { [weak self] in self?.note(trouble: $0) }
        await deliverAll()
        await sink.close()
    }

    private func deliverAll() async {
        guard var saved = await retrying({ try await self.startPosition() }) else { return }
        var position = saved
        state.withLock { $0.status.position = position }
        var lastFlush = clock.now
        var gatheredAt: SinkClock.Instant?
        defer {
            if sink.keepsAtOnce, position > saved { feed.saveCursor(sink.name, position) }
        }

        while !Task.isCancelled {
            // Asked before the read, so that nothing committed before a stop is missed.
            let stopping = isStopping
            let isBehind = feed.lastSequence() - min(position, feed.lastSequence()) >= UInt64(pacing.batchSize)
            if let last = gatheredAt, !stopping, !isBehind {
                let next = last.advanced(by: pacing.gatherTime)
                if next > clock.now { try? await clock.sleep(until: next, tolerance: nil) }
            }
            gatheredAt = clock.now
            guard let taken = await retrying({ [position] in try await self.deliverNext(after: position) }) else {
                return
            }
            if let taken { position = taken }

            let isFlushDue = stopping || lastFlush.advanced(by: pacing.flushInterval) <= clock.now
            if position > saved, isFlushDue, taken == nil || !stopping {
                let flushed: Void? = await retrying { [position] in
                    try await self.sink.flush()
                    self.feed.saveCursor(self.sink.name, position)
                }
                if flushed == nil { return }
                saved = position
                lastFlush = clock.now
            }
            guard taken == nil else { continue }
            if stopping { return }
            await wait(until: position > saved ? lastFlush.advanced(by: pacing.flushInterval) : nil)
        }
    }

    /// Where the sink is: the cursor, or what the sink has beyond it since a crash.
    private func startPosition() async throws -> UInt64 {
        let cursor = feed.cursor(sink.name) ?? 0
        let there = try await sink.lastDelivered { [feed] sequence in
            guard sequence > 0, sequence <= feed.lastSequence() else { return nil }
            return try await feed.events(sequence - 1, 1).first
        }
        return min(max(cursor, there ?? 0), feed.lastSequence())
    }

    /// - Returns: the new position, or nil when there was nothing to deliver.
    private func deliverNext(after position: UInt64) async throws -> UInt64? {
        let events: [Event]
        do {
            events = try await feed.events(position, min(pacing.batchSize, sink.batchLimit))
        } catch let error as OrchestratorError {
            guard case .outOfRange(let oldest) = error.kind, oldest > position + 1 else { throw error }
            // To a new sink, history that is over was never promised.
            if position == 0, feed.cursor(sink.name) == nil { return oldest - 1 }
            lost.increment(by: oldest - 1 - position)
            logger.error(
                "events are gone before the sink took them",
                metadata: ["sink": "\(sink.name)", "after": "\(position)", "oldest": "\(oldest)"])
            return oldest - 1
        }
        if events.isEmpty { return nil }
        let delivery = try await sink.deliver(events)
        let last = events[min(max(delivery.taken, 1), events.count) - 1].sequence
        for refusal in delivery.refusals { note(refusal, of: events.first { $0.sequence == refusal.sequence }) }
        delivered.increment(by: UInt64(max(0, delivery.taken - delivery.refusals.count)))
        let time = now()
        lastSuccess.set(Double(time.nanoseconds) / 1e9)
        state.withLock { state in
            state.status.position = last
            state.status.lastSuccess = time
        }
        return last
    }

    private func note(_ refusal: SinkRefusal, of event: Event?) {
        refused[refusal.reason]?.increment()
        state.withLock { $0.status.refusal = refusal }
        var metadata: Logger.Metadata = event.map { .job(of: $0) } ?? [:]
        metadata["sink"] = "\(sink.name)"
        metadata["sequence"] = "\(refusal.sequence)"
        metadata["reason"] = "\(refusal.reason.rawValue)"
        metadata["detail"] = "\(refusal.detail)"
        logger.error("the sink refuses an event; it is passed over", metadata: metadata)
    }

    private func note(trouble: String) {
        let isNews = state.withLock { state in
            guard state.isTrying else { return false }
            defer { state.status.error = trouble }
            return state.status.error != trouble
        }
        guard isNews else { return }
        errors.increment()
        logger.warning("sink has to wait", metadata: ["sink": "\(sink.name)", "error": "\(trouble)"])
    }

    /// Tries until it works; nil when the task was cancelled.
    private func retrying<Value: Sendable>(_ attempt: @Sendable () async throws -> Value) async -> Value? {
        var pause = pacing.initialBackoff
        while !Task.isCancelled {
            state.withLock { $0.isTrying = true }
            do {
                let value = try await attempt()
                state.withLock { state in
                    state.isTrying = false
                    state.status.error = nil
                }
                return value
            } catch {
                state.withLock { $0.isTrying = false }
                if Task.isCancelled { return nil }
                errors.increment()
                state.withLock { $0.status.error = "\(error)" }
                logger.warning(
                    "sink failed; it will be tried again",
                    metadata: ["sink": "\(sink.name)", "error": "\(error)", "pause": "\(pause)"])
                let retryAt = clock.now.advanced(by: pause)
                // A stop ends the pause it falls into: there is one more try before the grace is over.
                let wasStopping = isStopping
                while clock.now < retryAt, !Task.isCancelled, isStopping == wasStopping { await wait(until: retryAt) }
                pause = min(pause * 2, pacing.maxBackoff)
            }
        }
        return nil
    }

    /// Returns at a signal, at the deadline or when cancelled.
    private func wait(until deadline: SinkClock.Instant?) async {
        guard let deadline else { return await signal.wait() }
        let timer = Task { [clock, signal] in
            do { try await clock.sleep(until: deadline, tolerance: nil) } catch { return }
            signal.notify()
        }
        await signal.wait()
        timer.cancel()
    }
}
