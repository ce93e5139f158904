import Synchronization

/// The domain's own numbers. `follow` counts what the ledger commits; what only another part knows (limits, subscribers,
/// sinks) that part sets. No metric carries an id: the number of series is fixed by the classes, reasons and event types
/// there are.
public final class OrchestratorMetrics: Sendable {
    public let registry: MetricsRegistry
    public let sinks: SinkMetrics

    /// At 0 until a Slurm bridge counts them.
    public let slurmSubmitted: Counter
    public let slurmCompleted: Counter
    public let slurmFailed: Counter

    private let eventsPublished: InstrumentFamily<Counter>
    private let knownEvents: [EventType: Counter]
    private let batchSize: Histogram
    private let commitSeconds: Histogram
    /// Filled once, for every class.
    private let classes: [JobClass: ClassInstruments]
    private let queueAge = Mutex<QueueAge?>(nil)
    private let openCounts = Mutex<@Sendable () -> [JobClass: OpenCount]>({ [:] })
    private let limits = Mutex<@Sendable () -> [JobClass: Int]>({ [:] })

    public init(registry: MetricsRegistry = MetricsRegistry()) {
        self.registry = registry
        self.sinks = SinkMetrics(registry)
        self.slurmSubmitted =
            registry.counter("slurm_jobs_submitted_total", help: "Batch jobs that Slurm accepted.")[]
        self.slurmCompleted =
            registry.counter("slurm_jobs_completed_total", help: "Batch jobs that ended well.")[]
        self.slurmFailed = registry.counter("slurm_jobs_failed_total", help: "Batch jobs that ended otherwise.")[]
        let published = registry.counter(
            "events_published_total", help: "Events written to the ledger.", labels: ["type"], limit: 100)
        self.eventsPublished = published
        // Each type is there at zero.
        self.knownEvents = Dictionary(uniqueKeysWithValues: EventType.known.map { ($0, published[$0.rawValue]) })
        self.batchSize =
            registry.histogram(
                "orchestrator_ledger_batch_events", help: "Events written in one commit of the ledger.",
                buckets: Histogram.batchSize)[]
        self.commitSeconds =
            registry.histogram(
                "orchestrator_ledger_commit_seconds", help: "Time one commit of the ledger took, in seconds.",
                buckets: Histogram.commitSeconds)[]
        self.classes = ClassInstruments.forEveryClass(registry)
        registry.collector { [weak self] in self?.momentaryFamilies() ?? [] }
    }

    /// Counts everything the ledger commits from now on, and asks it for its open jobs at each scrape. Call once, before
    /// jobs move.
    public func follow(_ ledger: Ledger) {
        openCounts.withLock { $0 = { [weak ledger] in ledger?.counts ?? [:] } }
        let queueAge = QueueAge { [weak ledger] id in ledger?.cachedJob(id) }
        self.queueAge.withLock { $0 = queueAge }
        ledger.observe { [weak self] batch in self?.observe(batch) }
        queueAge.load(ledger.openJobs())
        // A client that wants events "from now" asks for this first, so that a broken connection costs it none.
        registry.collector { [weak ledger] in
            guard let ledger else { return [] }
            return [
                MetricFamily(
                    name: "orchestrator_last_sequence", help: "Sequence of the newest event in the ledger.",
                    kind: .gauge, value: Double(ledger.events.lastSequence)),
                MetricFamily(
                    name: "orchestrator_oldest_sequence", help: "Sequence of the oldest event that is kept.",
                    kind: .gauge, value: Double(ledger.events.oldestSequence)),
                MetricFamily(
                    name: "orchestrator_stream_subscribers",
                    help: "Event streams open now, over gRPC and HTTP.", kind: .gauge,
                    value: Double(ledger.events.places.count)),
                MetricFamily(
                    name: "orchestrator_stream_lag_events",
                    help: "Events that the slowest open stream has not read yet.", kind: .gauge,
                    value: Self.lag(ledger.events)),
                MetricFamily(
                    name: "orchestrator_ended_jobs_kept", help: "Ended jobs in the ledger.", kind: .gauge,
                    value: Double(ledger.history.endedJobs)),
                MetricFamily(
                    name: "orchestrator_job_output_bytes", help: "What ended jobs' attempts have left on the disk.",
                    kind: .gauge, value: Double(ledger.history.outputBytes)),
            ]
        }
    }

    /// Asks the scheduler for its limits at each scrape.
    public func follow(_ scheduler: Scheduler) {
        followLimits { [weak scheduler] in scheduler?.loads.mapValues(\.limit) ?? [:] }
    }

    func followLimits(_ limits: @escaping @Sendable () -> [JobClass: Int]) { self.limits.withLock { $0 = limits } }

    func observe(_ batch: CommittedBatch) {
        // A batch may hold nothing but sinks' cursors.
        if !batch.events.isEmpty { batchSize.observe(Double(batch.events.count)) }
        commitSeconds.observe(batch.commitSeconds)
        queueAge.withLock { $0 }?.observe(batch)
        batch.forEachEvent { event, change in observe(event, job: change?.job, from: change?.oldState) }
    }

    /// One event, with the job as it is after it and the state it had before.
    func observe(_ event: Event, job: Job?, from oldState: JobState?) {
        // What agents call their events is theirs to say, and no label.
        (knownEvents[event.type] ?? eventsPublished[event.type.isAgents ? "agent" : event.type.rawValue]).increment()
        guard let job, let instruments = classes[job.jobClass] else { return }
        switch event.type {
        case .taskSubmitted: instruments.submitted.increment()
        case .taskStarted:
            // A later attempt's wait is mostly its back-off, which says nothing about the queue.
            if event.attempt == 1 { instruments.queueSeconds.observe(seconds(from: job.submittedAt, to: event.time)) }
        case .taskRetrying:
            // One without a start gave its place back before a process was made.
            guard job.startedAt != nil else { return }
            instruments.retries.increment()
            attemptEnded(job, at: event.time, instruments)
        case .taskCompleted, .taskFailed, .taskCancelled:
            instruments.completed(as: job.state)?.increment()
            // A job cancelled while it waited may have run before; that attempt was counted when it ended.
            if event.type != .taskCancelled || oldState == .running { attemptEnded(job, at: event.time, instruments) }
            instruments.totalSeconds.observe(seconds(from: job.submittedAt, to: event.time))
        default: break
        }
    }

    /// Every class's numbers, in the order of the contract.
    public func classStats() -> [ClassStats] {
        let open = openCounts.withLock { $0 }()
        let limits = limits.withLock { $0 }()
        return JobClass.allCases.compactMap { jobClass in
            classes[jobClass]?.stats(jobClass, open: open[jobClass] ?? OpenCount(), limit: limits[jobClass] ?? 0)
        }
    }

    private func momentaryFamilies() -> [MetricFamily] {
        let stats = classStats()
        func family(_ name: String, _ help: String, _ number: (ClassStats) -> UInt64) -> MetricFamily {
            MetricFamily(
                name: name, help: help, kind: .gauge,
                samples: stats.map {
                    MetricSample(labels: [MetricLabel("class", $0.jobClass.word)], value: .number(Double(number($0))))
                })
        }
        let ages = queueAge.withLock { $0 }?.seconds(at: .now()) ?? [:]
        return [
            MetricFamily(
                name: "orchestrator_queue_oldest_seconds",
                help: "How long the oldest job has waited for its turn, in seconds; 0 when none waits.", kind: .gauge,
                samples: JobClass.allCases.map {
                    MetricSample(labels: [MetricLabel("class", $0.word)], value: .number(ages[$0] ?? 0))
                }),
            family("env_queue_depth", "Jobs waiting for their turn.", \.queueDepth),
            family("orchestrator_inflight_tasks", "Jobs running now.", \.inflight),
            family("orchestrator_concurrency_limit", "How many jobs of a class may run at once.", \.concurrencyLimit),
        ]
    }

    private static func lag(_ log: EventLog) -> Double {
        // In this order: the log only grows.
        let slowest = log.places.slowest
        let last = log.lastSequence
        return Double(last - min(slowest ?? last, last))
    }

    private func attemptEnded(_ job: Job, at end: Timestamp, _ instruments: ClassInstruments) {
        if let started = job.startedAt { instruments.runSeconds.observe(seconds(from: started, to: end)) }
        if let reason = job.failureReason { instruments.errors[reason]?.increment() }
    }

    /// A wall clock can be set back; a duration can't be negative.
    private func seconds(from start: Timestamp, to end: Timestamp) -> Double {
        max(0, start.duration(to: end).inSeconds)
    }
}

/// One class's instruments, looked up once.
private final class ClassInstruments: Sendable {
    let submitted: Counter
    let succeeded: Counter
    let failed: Counter
    let cancelled: Counter
    let retries: Counter
    let errors: [FailureReason: Counter]
    let queueSeconds: Histogram
    let runSeconds: Histogram
    let totalSeconds: Histogram

    init(
        submitted: Counter, succeeded: Counter, failed: Counter, cancelled: Counter, retries: Counter,
        errors: [FailureReason: Counter], queueSeconds: Histogram, runSeconds: Histogram, totalSeconds: Histogram
    ) {
        self.submitted = submitted
        self.succeeded = succeeded
        self.failed = failed
        self.cancelled = cancelled
        self.retries = retries
        self.errors = errors
        self.queueSeconds = queueSeconds
        self.runSeconds = runSeconds
        self.totalSeconds = totalSeconds
    }

    func completed(as state: JobState) -> Counter? {
        switch state {
        case .succeeded: succeeded
        case .failed: failed
        case .cancelled: cancelled
        case .queued, .submitted, .running: nil
        }
    }

    func stats(_ jobClass: JobClass, open: OpenCount, limit: Int) -> ClassStats {
        let run = runSeconds.snapshot
        var stats = ClassStats(jobClass: jobClass)
        stats.submitted = submitted.total
        stats.succeeded = succeeded.total
        stats.failed = failed.total
        stats.cancelled = cancelled.total
        stats.errors = errors.mapValues(\.total).filter { $0.value > 0 }
        stats.p50Seconds = run.quantile(0.5) ?? 0
        stats.p95Seconds = run.quantile(0.95) ?? 0
        stats.p99Seconds = run.quantile(0.99) ?? 0
        stats.queueDepth = UInt64(max(0, open.queued))
        stats.inflight = UInt64(max(0, open.running))
        stats.concurrencyLimit = UInt64(max(0, limit))
        return stats
    }

    static func forEveryClass(_ registry: MetricsRegistry) -> [JobClass: ClassInstruments] {
        let submitted = registry.counter(
            "orchestrator_jobs_submitted_total", help: "Jobs accepted.", labels: ["class"])
        let completed = registry.counter(
            "orchestrator_jobs_completed_total", help: "Jobs that ended, by how.", labels: ["class", "outcome"])
        let retries = registry.counter(
            "orchestrator_job_retries_total", help: "Failed attempts that are followed by another.", labels: ["class"])
        let errors = registry.counter(
            "orchestrator_job_errors_total", help: "Attempts that failed, by reason, retried ones among them.",
            labels: ["class", "reason"])
        let queueSeconds = registry.histogram(
            "orchestrator_job_queue_seconds", help: "Time from a job's submission to its first start, in seconds.",
            labels: ["class"], buckets: Histogram.jobSeconds)
        let runSeconds = registry.histogram(
            "orchestrator_job_run_seconds", help: "Time an attempt ran, in seconds.", labels: ["class"],
            buckets: Histogram.jobSeconds)
        let totalSeconds = registry.histogram(
            "orchestrator_job_total_seconds", help: "Time from a job's submission to its end, in seconds.",
            labels: ["class"], buckets: Histogram.jobSeconds)

        return Dictionary(
            uniqueKeysWithValues: JobClass.allCases.map { jobClass in
                let word = jobClass.word
                return (
                    jobClass,
                    ClassInstruments(
                        submitted: submitted[word],
                        succeeded: completed[word, JobState.succeeded.word],
                        failed: completed[word, JobState.failed.word],
                        cancelled: completed[word, JobState.cancelled.word],
                        retries: retries[word],
                        errors: Dictionary(
                            uniqueKeysWithValues: FailureReason.allCases.map { ($0, errors[word, $0.word]) }),
                        queueSeconds: queueSeconds[word], runSeconds: runSeconds[word],
                        totalSeconds: totalSeconds[word])
                )
            })
    }
}

extension EventType {
    /// The types of the contract, so that each is there at zero.
    static let known: [EventType] = [
        .taskSubmitted, .taskStarted, .taskRetrying, .taskCompleted, .taskFailed, .taskCancelled, .slurmJobSubmitted,
        .slurmJobStarted, .slurmJobCompleted,
    ]
}
