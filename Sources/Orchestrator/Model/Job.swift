/// What a caller asks for. Content that decides whether a repeated submission is the same job: everything but `source`.
///
/// Copies share one object until one of them is changed: a job goes through many hands, and its content changes in none.
public struct JobSpec: Sendable {
    private var content: Content

    /// `@unchecked Sendable`: changed only by `JobSpec` while nobody else has it.
    private final class Content: @unchecked Sendable {
        var fields: Fields
        init(_ fields: Fields) { self.fields = fields }
    }

    private struct Fields: Equatable {
        var id: String
        var jobClass: JobClass
        var payload: [UInt8]
        var priority: Int32
        var labels: [String: String]
        var timeout: Duration?
        var deadline: Duration?
        var retry: RetryPolicy
        var dependsOn: [String]
        var resources: Resources
        var source: JobSource
        var traceParent: String?
    }

    private var fields: Fields {
        _read { yield content.fields }
        _modify {
            if !isKnownUniquelyReferenced(&content) { content = Content(content.fields) }
            yield &content.fields
        }
    }

    /// The caller's idempotency key; empty asks the ledger for a UUIDv7.
    public var id: String {
        get { fields.id }
        set { fields.id = newValue }
    }
    public var jobClass: JobClass {
        get { fields.jobClass }
        set { fields.jobClass = newValue }
    }
    /// A JSON object, UTF-8.
    public var payload: [UInt8] {
        get { fields.payload }
        set { fields.payload = newValue }
    }
    /// Higher first.
    public var priority: Int32 {
        get { fields.priority }
        set { fields.priority = newValue }
    }
    public var labels: [String: String] {
        get { fields.labels }
        set { fields.labels = newValue }
    }
    /// Of one attempt; nil is the class's default.
    public var timeout: Duration? {
        get { fields.timeout }
        set { fields.timeout = newValue }
    }
    /// From the submission to the job's end, all waiting and all attempts included; nil is none.
    public var deadline: Duration? {
        get { fields.deadline }
        set { fields.deadline = newValue }
    }
    public var retry: RetryPolicy {
        get { fields.retry }
        set { fields.retry = newValue }
    }
    /// Ids of the jobs that must succeed before this one starts; in the ledger sorted, each once.
    public var dependsOn: [String] {
        get { fields.dependsOn }
        set { fields.dependsOn = newValue }
    }
    public var resources: Resources {
        get { fields.resources }
        set { fields.resources = newValue }
    }
    public var source: JobSource {
        get { fields.source }
        set { fields.source = newValue }
    }
    /// The caller's place in a distributed trace, `00-TRACEID-PARENTID-FLAGS` (W3C Trace Context): the trace's id stands
    /// in the job's events, and the job's process gets it all. Not content.
    public var traceParent: String? {
        get { fields.traceParent }
        set { fields.traceParent = newValue }
    }

    public init(
        id: String = "", jobClass: JobClass = .cpuShort, payload: [UInt8] = Array("{}".utf8), priority: Int32 = 0,
        labels: [String: String] = [:], timeout: Duration? = nil, deadline: Duration? = nil,
        retry: RetryPolicy = .none, dependsOn: [String] = [], resources: Resources = .unspecified,
        source: JobSource = .rpc,
        traceParent: String? = nil
    ) {
        content = Content(
            Fields(
                id: id, jobClass: jobClass, payload: payload, priority: priority, labels: labels, timeout: timeout,
                deadline: deadline, retry: retry, dependsOn: dependsOn, resources: resources, source: source,
                traceParent: traceParent))
    }

    /// 32 hexadecimal digits.
    public var traceID: Substring? { traceParent?.dropFirst(3).prefix(32) }
}

extension JobSpec: Equatable {
    public static func == (left: JobSpec, right: JobSpec) -> Bool {
        left.content === right.content || left.fields == right.fields
    }
}

/// Who brought a job. Jobs of the file queue and of the gateway leave a file in `done/`.
public enum JobSource: String, Sendable, Hashable {
    case rpc
    case http
    case fileQueue = "file_queue"

    public var writesDoneFile: Bool { self != .rpc }
}

/// When a failed attempt is followed by another.
public struct RetryPolicy: Sendable, Equatable, Codable {
    /// Attempts in all; 0 and 1 are no retry.
    public var maxAttempts: UInt32
    /// Before the second attempt; doubles with each further one. nil is one second.
    public var initialBackoff: Duration?
    /// The longest wait. nil is five minutes.
    public var maxBackoff: Duration?
    /// Empty is every reason for which `FailureReason.isRetriedByDefault`.
    public var retryOn: [Int32]

    public init(
        maxAttempts: UInt32 = 0, initialBackoff: Duration? = nil, maxBackoff: Duration? = nil, retryOn: [Int32] = []
    ) {
        self.maxAttempts = maxAttempts
        self.initialBackoff = initialBackoff
        self.maxBackoff = maxBackoff
        self.retryOn = retryOn
    }

    public static let none = RetryPolicy()
}

/// One job as the ledger knows it.
public struct Job: Sendable, Equatable {
    public var spec: JobSpec
    public var state: JobState
    /// From 1; 0 until the first attempt has started.
    public var attempt: UInt32
    public var submittedAt: Timestamp
    /// Of the newest attempt.
    public var startedAt: Timestamp?
    public var finishedAt: Timestamp?
    /// A queued job is not started before this: the back-off of its retry.
    public var notBefore: Timestamp?
    public var exitCode: Int32
    public var signal: Int32
    public var failureReason: FailureReason?
    /// One line for people.
    public var error: String
    /// JSON, or empty.
    public var result: [UInt8]
    public var slurmJobID: String
    /// The batch job of the newest attempt that was meant for Slurm.
    public var slurm: SlurmFacts?
    /// Set once somebody asked a running job to end; its next end is then CANCELLED.
    public var cancelReason: String?
    /// Who asked: the source of the job's task_cancelled event.
    public var cancelSource: String?
    /// Set once its deadline has passed while it ran: its next end is then FAILED with TIMEOUT.
    public var isExpired: Bool
    /// Who has its task file.
    public var claim: TaskClaim
    /// Of `spec.dependsOn`, how many have not succeeded: while there are any, the job does not start. Not stored, as it
    /// follows from the parents; 0 for a job that has ended.
    public var openParents: Int
    /// Attempts that were given a number but never ran; they do not count against the retry policy.
    public var unstartedAttempts: UInt32
    /// What its attempts have left on the disk, their working directories included.
    public var outputBytes: Int64
    /// Of its newest event.
    public var lastSequence: UInt64

    public init(spec: JobSpec, submittedAt: Timestamp) {
        self.spec = spec
        self.state = .queued
        self.attempt = 0
        self.submittedAt = submittedAt
        self.exitCode = 0
        self.signal = 0
        self.error = ""
        self.result = []
        self.slurmJobID = ""
        self.isExpired = false
        self.claim = .here
        self.openParents = 0
        self.unstartedAttempts = 0
        self.outputBytes = 0
        self.lastSequence = 0
    }

    public var id: String { spec.id }
    public var jobClass: JobClass { spec.jobClass }

    /// When it fails with TIMEOUT unless it has ended.
    public var deadline: Timestamp? { spec.deadline.map { submittedAt.advanced(by: $0) } }

    /// Whether its attempt, if it has one, is to be ended: the ledger then gives the job the end that it has coming, or puts
    /// it back into the queue where another server has it.
    public var isToStop: Bool { cancelReason != nil || isExpired || claim != .here }

    /// Queued, for nothing but a place and the end of a back-off.
    var waitsForItsTurn: Bool { state == .queued && openParents == 0 && claim == .here }
}
