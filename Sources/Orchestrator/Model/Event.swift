/// The kind of an event, by its word in the contract. Open, because agents add their own.
public struct EventType: RawRepresentable, Sendable, Hashable {
    public var rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }

    public static let taskSubmitted = EventType(rawValue: "task_submitted")
    public static let taskStarted = EventType(rawValue: "task_started")
    public static let taskRetrying = EventType(rawValue: "task_retrying")
    public static let taskCompleted = EventType(rawValue: "task_completed")
    public static let taskFailed = EventType(rawValue: "task_failed")
    public static let taskCancelled = EventType(rawValue: "task_cancelled")
    public static let slurmJobSubmitted = EventType(rawValue: "slurm_job_submitted")
    public static let slurmJobStarted = EventType(rawValue: "slurm_job_started")
    public static let slurmJobCompleted = EventType(rawValue: "slurm_job_completed")

    /// Of one that an agent published.
    public var isAgents: Bool { rawValue.hasPrefix(AgentEvent.typePrefix) }

    /// After it a job has no further lifecycle event.
    public var isTerminal: Bool { self == .taskCompleted || self == .taskFailed || self == .taskCancelled }
}

/// One thing that happened, as it stands in the ledger.
public struct Event: Sendable, Equatable {
    /// Gapless from 1 over the whole server.
    public var sequence: UInt64
    public var type: EventType
    public var jobID: String
    public var time: Timestamp
    /// 0 when no attempt has started.
    public var attempt: UInt32
    /// Of the job after the event; nil when it is about no job.
    public var state: JobState?
    /// A JSON object; with "task_id" when it is about a job.
    public var data: [UInt8]
    /// rpc, http, file_queue, runner, slurm, server or agent.
    public var source: String

    public init(
        sequence: UInt64, type: EventType, jobID: String, time: Timestamp, attempt: UInt32, state: JobState?,
        data: [UInt8], source: String
    ) {
        self.sequence = sequence
        self.type = type
        self.jobID = jobID
        self.time = time
        self.attempt = attempt
        self.state = state
        self.data = data
        self.source = source
    }
}
