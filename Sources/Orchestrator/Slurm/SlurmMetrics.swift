import Synchronization

/// The bridge's numbers.
public final class SlurmMetrics: Sendable {
    let submitted: Counter
    let completed: Counter
    let failed: Counter
    let adopted: Counter
    let restarts: Counter
    let unknownStates: Counter
    private let commandSeconds: InstrumentFamily<Histogram>
    private let lastSuccess: Gauge
    private let states = Mutex<@Sendable () -> [String: Int]>({ [:] })

    /// Counts into `metrics`' own three as well.
    public init(_ metrics: OrchestratorMetrics) {
        submitted = metrics.slurmSubmitted
        completed = metrics.slurmCompleted
        failed = metrics.slurmFailed
        let registry = metrics.registry
        adopted =
            registry.counter(
                "slurm_jobs_adopted_total", help: "Submissions of unknown outcome that were found in Slurm.")[]
        restarts =
            registry.counter("slurm_job_restarts_total", help: "Times that Slurm put a job back into its queue.")[]
        unknownStates =
            registry.counter(
                "slurm_unknown_states_total", help: "Times that Slurm showed a state which is not known here.")[]
        commandSeconds = registry.histogram(
            "slurm_command_duration_seconds", help: "Time a command of Slurm's took, in seconds.",
            labels: ["command", "outcome"], buckets: Self.buckets, limit: 40)
        lastSuccess =
            registry.gauge(
                "slurm_reconcile_last_success_timestamp_seconds",
                help: "When Slurm's queue was last read, in seconds since 1970; 0 before the first.")[]
        registry.collector { [weak self] in
            guard let self else { return [] }
            let states = self.states.withLock { $0 }()
            return [
                MetricFamily(
                    name: "slurm_jobs", help: "Jobs of this server that Slurm has, by its state.", kind: .gauge,
                    samples: SlurmState.allCases.map { state in
                        MetricSample(
                            labels: [MetricLabel("state", state.rawValue.lowercased())],
                            value: .number(Double(states[state.rawValue] ?? 0)))
                    })
            ]
        }
    }

    /// 1 ms to about 30 s.
    private static let buckets: [Double] = [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
    ]

    func commanded(_ command: String, _ outcome: String, seconds: Double) {
        commandSeconds[command, outcome].observe(seconds)
    }

    func reconciled(at time: Timestamp) { lastSuccess.set(Double(time.nanoseconds) / 1e9) }

    /// Asks for the jobs by state at each scrape.
    func follow(_ states: @escaping @Sendable () -> [String: Int]) { self.states.withLock { $0 = states } }
}
