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
///
/// Copies share one object until one of them is changed; its number stands apart, as it is given last.
public struct Event: Sendable, Equatable {
    /// Gapless from 1 over the whole server.
    public var sequence: UInt64
    private var content: Shared<Fields>

    private struct Fields: Sendable, Equatable {
        var type: EventType
        var jobID: String
        var time: Timestamp
        var attempt: UInt32
        var state: JobState?
        var data: [UInt8]
        var source: String
    }

    private var fields: Fields {
        _read { yield content.value }
        _modify { yield &content.value }
    }

    public var type: EventType {
        _read { yield fields.type }
        _modify { yield &fields.type }
    }
    public var jobID: String {
        _read { yield fields.jobID }
        _modify { yield &fields.jobID }
    }
    public var time: Timestamp {
        _read { yield fields.time }
        _modify { yield &fields.time }
    }
    /// 0 when no attempt has started.
    public var attempt: UInt32 {
        _read { yield fields.attempt }
        _modify { yield &fields.attempt }
    }
    /// Of the job after the event; nil when it is about no job.
    public var state: JobState? {
        _read { yield fields.state }
        _modify { yield &fields.state }
    }
    /// A JSON object; with "task_id" when it is about a job.
    public var data: [UInt8] {
        _read { yield fields.data }
        _modify { yield &fields.data }
    }
    /// rpc, http, file_queue, runner, slurm, server or agent.
    public var source: String {
        _read { yield fields.source }
        _modify { yield &fields.source }
    }

    public init(
        sequence: UInt64, type: EventType, jobID: String, time: Timestamp, attempt: UInt32, state: JobState?,
        data: [UInt8], source: String
    ) {
        self.sequence = sequence
        content = Shared(
            Fields(
                type: type, jobID: jobID, time: time, attempt: attempt, state: state, data: data,
                source: source))
    }
}
