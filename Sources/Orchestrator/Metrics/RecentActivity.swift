import Synchronization

/// What happened in the last minutes, in steps: for a page that shows them as soon as it is opened. It has a fixed size.
public final class RecentActivity: Sendable {
    /// One step.
    public struct Step: Sendable, Equatable {
        public var submitted = 0
        public var succeeded = 0
        public var failed = 0
        public var cancelled = 0
        /// Run times of attempts that ended a job, in seconds, by the buckets of `Histogram.jobSeconds`.
        var runs: [UInt64] = []

        /// Of the run times, in seconds; nil when no job ended.
        public var p95Seconds: Double? {
            runs.isEmpty ? nil : HistogramSnapshot(bounds: Histogram.jobSeconds, counts: runs, sum: 0).quantile(0.95)
        }
    }

    /// Of one step.
    public static let stepSeconds: Int64 = 10
    /// 15 minutes.
    public static let steps = 90

    private struct State {
        /// Number of the newest step: seconds since 1970, divided by the step's length.
        var newest: Int64 = 0
        /// Oldest first; the last is the newest.
        var steps = [Step](repeating: Step(), count: RecentActivity.steps)

        /// A clock that was set back goes on counting into the newest step.
        mutating func advance(to step: Int64) {
            guard step > newest else { return }
            let count = Int(min(step - newest, Int64(RecentActivity.steps)))
            steps.removeFirst(count)
            steps += [Step](repeating: Step(), count: count)
            newest = step
        }
    }

    private let state = Mutex(State())

    public init() {}

    /// Counts everything the ledger commits from now on.
    public func follow(_ ledger: Ledger) {
        ledger.observe { [weak self] in self?.observe($0) }
    }

    func observe(_ batch: CommittedBatch) {
        if batch.events.isEmpty { return }
        state.withLock { state in
            batch.forEachEvent { event, change in
                state.advance(to: event.time.seconds / Self.stepSeconds)
                Self.count(event, change?.job, in: &state.steps[Self.steps - 1])
            }
        }
    }

    private static func count(_ event: Event, _ job: Job?, in step: inout Step) {
        switch event.type {
        case .taskSubmitted: step.submitted += 1
        case .taskCompleted: step.succeeded += 1
        case .taskFailed: step.failed += 1
        case .taskCancelled: step.cancelled += 1
        default: return
        }
        guard event.type != .taskSubmitted, let started = job?.startedAt else { return }
        let seconds = max(0, started.duration(to: event.time).inSeconds)
        if step.runs.isEmpty { step.runs = [UInt64](repeating: 0, count: Histogram.jobSeconds.count + 1) }
        step.runs[Histogram.jobSeconds.firstIndex { seconds <= $0 } ?? Histogram.jobSeconds.count] += 1
    }

    /// The steps up to now, oldest first, and the time at which the last of them ends.
    public func recent(at now: Timestamp) -> (steps: [Step], end: Timestamp) {
        state.withLock { state in
            state.advance(to: now.seconds / Self.stepSeconds)
            return (state.steps, Timestamp(nanoseconds: (state.newest + 1) * Self.stepSeconds * 1_000_000_000))
        }
    }
}
