import Synchronization

/// The numbers of a runner of its own (`dspy-env-runner`), since it started.
public final class RunnerMetrics: Sendable {
    /// What `GET /metrics` answers.
    public struct Summary: Sendable, Equatable {
        /// Tasks that ended here, in whatever way.
        public var processed: [JobClass: UInt64] = [:]
        /// Attempts that failed.
        public var errors: [JobClass: [FailureReason: UInt64]] = [:]
        /// Tasks that wait, claimed or not.
        public var queueDepth = 0
        /// Of the time that attempts ran; nil before the first has ended.
        public var p95Seconds: Double?
        public var averageSeconds: Double?
        /// From 0 to 1; nil where nobody can tell.
        public var gpuUtilization: Double?

        public init() {}
    }

    private struct ClassInstruments: Sendable {
        let processed: Counter
        let duration: Histogram
        let errors: [FailureReason: Counter]
    }

    private let classes: [JobClass: ClassInstruments]
    private let queueDepth: @Sendable () -> Int
    private let gpuUtilization: @Sendable () -> Double?

    /// - Parameters:
    ///   - queueDepth: tasks that wait, asked at each scrape.
    ///   - gpuUtilization: the newest reading, or nil; asked at each scrape.
    public init(
        _ registry: MetricsRegistry, classes: Set<JobClass>, queueDepth: @escaping @Sendable () -> Int,
        gpuUtilization: @escaping @Sendable () -> Double? = { nil }
    ) {
        self.queueDepth = queueDepth
        self.gpuUtilization = gpuUtilization
        let processed = registry.counter(
            "env_runner_tasks_processed_total", help: "Tasks that ended, in whatever way.", labels: ["class"])
        let duration = registry.histogram(
            "env_runner_task_duration_seconds", help: "Time an attempt ran, in seconds.", labels: ["class"],
            buckets: Histogram.jobSeconds)
        let errors = registry.counter(
            "env_runner_errors_total", help: "Attempts that failed, by reason, retried ones among them.",
            labels: ["class", "reason"])
        self.classes = Dictionary(
            uniqueKeysWithValues: classes.map { jobClass in
                let word = jobClass.word
                let reasons = FailureReason.allCases.map { ($0, errors[word, $0.word]) }
                return (
                    jobClass,
                    ClassInstruments(
                        processed: processed[word], duration: duration[word],
                        errors: Dictionary(uniqueKeysWithValues: reasons))
                )
            })
        registry.collector {
            var families = [
                MetricFamily(
                    name: "env_runner_queue_depth", help: "Tasks waiting for a place here, claimed or not.",
                    kind: .gauge, value: Double(queueDepth()))
            ]
            if let share = gpuUtilization() {
                families.append(
                    MetricFamily(
                        name: "env_runner_gpu_utilization", help: "Mean utilisation of this machine's GPUs, 0 to 1.",
                        kind: .gauge, value: share))
            }
            return families
        }
    }

    /// Counts what the ledger commits from now on. Call once, before jobs move.
    public func follow(_ ledger: Ledger) { ledger.observe { [weak self] batch in self?.observe(batch) } }

    func observe(_ batch: CommittedBatch) {
        for change in batch.changes {
            let job = change.job
            guard change.oldState == .running, job.claim == .here, let instruments = classes[job.jobClass] else {
                continue
            }
            switch job.state {
            case .queued where job.failureReason == nil || job.notBefore == nil:
                // Given back: the attempt does not count.
                continue
            case .queued, .succeeded, .failed, .cancelled: attemptEnded(job, instruments)
            case .running, .submitted: continue
            }
            if job.state.isTerminal { instruments.processed.increment() }
        }
    }

    private func attemptEnded(_ job: Job, _ instruments: ClassInstruments) {
        if let started = job.startedAt {
            instruments.duration.observe(max(0, started.duration(to: job.finishedAt ?? .now()).inSeconds))
        }
        if job.state != .cancelled, let reason = job.failureReason { instruments.errors[reason]?.increment() }
    }

    public var summary: Summary {
        var summary = Summary()
        var merged: HistogramSnapshot?
        for (jobClass, instruments) in classes {
            summary.processed[jobClass] = instruments.processed.total
            summary.errors[jobClass] = instruments.errors.mapValues(\.total).filter { $0.value > 0 }
            let snapshot = instruments.duration.snapshot
            if merged == nil {
                merged = snapshot
            } else {
                for index in snapshot.counts.indices { merged?.counts[index] += snapshot.counts[index] }
                merged?.sum += snapshot.sum
            }
        }
        if let merged, merged.count > 0 {
            summary.p95Seconds = merged.quantile(0.95)
            summary.averageSeconds = merged.sum / Double(merged.count)
        }
        summary.queueDepth = queueDepth()
        summary.gpuUtilization = gpuUtilization()
        return summary
    }
}
