import Orchestrator

/// Everything the routes need from the rest of the server.
public struct GatewayDependencies: Sendable {
    public typealias SubmitMany =
        @Sendable ([Result<JobSpec, OrchestratorError>]) async -> [Result<Submission, OrchestratorError>]

    public var version: String
    public var uptime: @Sendable () -> Duration
    public var registry: MetricsRegistry
    /// false answers 404 on `/metrics`.
    public var isMetricsEnabled: Bool
    /// True from the moment the server was asked to stop: it is not ready.
    public var isDraining: @Sendable () -> Bool
    /// False once it winds up, which may be a while after that.
    public var takesJobs: @Sendable () -> Bool
    /// Called for each probe; must answer at once, from what is known.
    public var health: @Sendable () async -> [HealthCheck]
    /// Checks the payload and makes the job durable, as the RPC's SubmitJob does; throws `OrchestratorError`.
    public var submit: @Sendable (JobSpec) async throws -> Submission
    /// The same for many in one transaction, each with its own verdict, in their order; what could not be read keeps its
    /// error.
    public var submitMany: SubmitMany
    /// Asks a job to end; one that has ended stays as it is. Throws `notFound` when there is none.
    public var cancel: @Sendable (_ id: String, _ reason: String) async throws -> Job
    /// Puts a batch job back into Slurm's queue; throws `OrchestratorError`.
    public var requeue: @Sendable (_ id: String, _ reason: String) async throws -> Job
    /// Throws `notFound` when there is none.
    public var job: @Sendable (_ id: String) async throws -> Job
    public var list: @Sendable (JobQuery) async throws -> JobPage
    public var queueCounts: @Sendable () async throws -> QueueCounts
    /// A place in the event log.
    public var follow: @Sendable (EventRequest, EventFollower.Encoding) async throws -> EventFollower
    public var logs: JobLogs
    /// The numbers of `/v1/overview`.
    public var overview: @Sendable () -> Overview
    /// nil without a Slurm bridge.
    public var slurm: SlurmDependencies?

    public init(
        version: String, uptime: @escaping @Sendable () -> Duration, registry: MetricsRegistry,
        isMetricsEnabled: Bool = true, isDraining: @escaping @Sendable () -> Bool,
        takesJobs: @escaping @Sendable () -> Bool,
        health: @escaping @Sendable () async -> [HealthCheck],
        submit: @escaping @Sendable (JobSpec) async throws -> Submission,
        submitMany: @escaping SubmitMany,
        cancel: @escaping @Sendable (_ id: String, _ reason: String) async throws -> Job,
        requeue: @escaping @Sendable (_ id: String, _ reason: String) async throws -> Job,
        job: @escaping @Sendable (_ id: String) async throws -> Job,
        list: @escaping @Sendable (JobQuery) async throws -> JobPage,
        queueCounts: @escaping @Sendable () async throws -> QueueCounts,
        follow: @escaping @Sendable (EventRequest, EventFollower.Encoding) async throws -> EventFollower,
        logs: JobLogs, overview: @escaping @Sendable () -> Overview, slurm: SlurmDependencies? = nil
    ) {
        self.version = version
        self.uptime = uptime
        self.registry = registry
        self.isMetricsEnabled = isMetricsEnabled
        self.isDraining = isDraining
        self.takesJobs = takesJobs
        self.health = health
        self.submit = submit
        self.submitMany = submitMany
        self.cancel = cancel
        self.requeue = requeue
        self.job = job
        self.list = list
        self.queueCounts = queueCounts
        self.follow = follow
        self.logs = logs
        self.overview = overview
        self.slurm = slurm
    }
}

/// What the routes need from the Slurm bridge.
public struct SlurmDependencies: Sendable {
    /// Returns when Slurm has the job, or it has ended, or after the limit.
    public var submission: @Sendable (_ id: String, _ limit: Duration) async -> Void
    /// The job whose newest batch job has this id in Slurm; throws `notFound` when there is none.
    public var job: @Sendable (_ slurmJobID: String) async throws -> Job

    public init(
        submission: @escaping @Sendable (_ id: String, _ limit: Duration) async -> Void,
        job: @escaping @Sendable (_ slurmJobID: String) async throws -> Job
    ) {
        self.submission = submission
        self.job = job
    }
}

/// One thing that must work, and whether it does.
public struct HealthCheck: Sendable, Equatable {
    /// A word in lower case: ledger, runner, file_queue, …
    public var name: String
    public var isHealthy: Bool
    /// One line for people: what is wrong and what to do.
    public var detail: String
    /// Whether the server can't take jobs without it: `/readyz` then answers 503. Otherwise it is only degraded.
    public var isRequired: Bool

    public init(name: String, isHealthy: Bool, detail: String = "", isRequired: Bool = true) {
        self.name = name
        self.isHealthy = isHealthy
        self.detail = detail
        self.isRequired = isRequired
    }
}
