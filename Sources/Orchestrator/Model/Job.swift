/// What a caller asks for. Content that decides whether a repeated submission is the same job: everything but `source`.
///
/// Copies share one object until one of them is changed: a job goes through many hands, and its content changes in none.
public struct JobSpec: Sendable, Equatable {
    private var content: Shared<Fields>

    private struct Fields: Sendable, Equatable {
        var key: JobKey
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
        _read { yield content.value }
        _modify { yield &content.value }
    }

    /// The caller's idempotency key; empty asks the ledger for a UUIDv7.
    public var id: String {
        get { fields.key.id }
        set { fields.key = JobKey(newValue) }
    }
    /// The id, for tables.
    var key: JobKey { fields.key }
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
        content = Shared(
            Fields(
                key: JobKey(id), jobClass: jobClass, payload: payload, priority: priority, labels: labels,
                timeout: timeout, deadline: deadline, retry: retry, dependsOn: dependsOn, resources: resources,
                source: source, traceParent: traceParent))
    }

    /// 32 hexadecimal digits.
    public var traceID: Substring? { traceParent?.dropFirst(3).prefix(32) }
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
///
/// Copies share one object until one of them is changed: each change of a job is handed to everybody who follows the ledger.
public struct Job: Sendable, Equatable {
    private var content: Shared<Fields>

    private struct Fields: Sendable, Equatable {
        var spec: JobSpec
        var state: JobState = .queued
        var attempt: UInt32 = 0
        var submittedAt: Timestamp
        var startedAt: Timestamp?
        var finishedAt: Timestamp?
        var notBefore: Timestamp?
        var exitCode: Int32 = 0
        var signal: Int32 = 0
        var failureReason: FailureReason?
        var error: String = ""
        var result: [UInt8] = []
        var slurmJobID: String = ""
        var slurm: SlurmFacts?
        var cancelReason: String?
        var cancelSource: String?
        var isExpired: Bool = false
        var claim: TaskClaim = .here
        var openParents: Int = 0
        var unstartedAttempts: UInt32 = 0
        var outputBytes: Int64 = 0
        var lastSequence: UInt64 = 0
    }

    private var fields: Fields {
        _read { yield content.value }
        _modify { yield &content.value }
    }

    public var spec: JobSpec {
        _read { yield fields.spec }
        _modify { yield &fields.spec }
    }
    public var state: JobState {
        _read { yield fields.state }
        _modify { yield &fields.state }
    }
    /// From 1; 0 until the first attempt has started.
    public var attempt: UInt32 {
        _read { yield fields.attempt }
        _modify { yield &fields.attempt }
    }
    public var submittedAt: Timestamp {
        _read { yield fields.submittedAt }
        _modify { yield &fields.submittedAt }
    }
    /// Of the newest attempt.
    public var startedAt: Timestamp? {
        _read { yield fields.startedAt }
        _modify { yield &fields.startedAt }
    }
    public var finishedAt: Timestamp? {
        _read { yield fields.finishedAt }
        _modify { yield &fields.finishedAt }
    }
    /// A queued job is not started before this: the back-off of its retry.
    public var notBefore: Timestamp? {
        _read { yield fields.notBefore }
        _modify { yield &fields.notBefore }
    }
    public var exitCode: Int32 {
        _read { yield fields.exitCode }
        _modify { yield &fields.exitCode }
    }
    public var signal: Int32 {
        _read { yield fields.signal }
        _modify { yield &fields.signal }
    }
    public var failureReason: FailureReason? {
        _read { yield fields.failureReason }
        _modify { yield &fields.failureReason }
    }
    /// One line for people.
    public var error: String {
        _read { yield fields.error }
        _modify { yield &fields.error }
    }
    /// JSON, or empty.
    public var result: [UInt8] {
        _read { yield fields.result }
        _modify { yield &fields.result }
    }
    public var slurmJobID: String {
        _read { yield fields.slurmJobID }
        _modify { yield &fields.slurmJobID }
    }
    /// The batch job of the newest attempt that was meant for Slurm.
    public var slurm: SlurmFacts? {
        _read { yield fields.slurm }
        _modify { yield &fields.slurm }
    }
    /// Set once somebody asked a running job to end; its next end is then CANCELLED.
    public var cancelReason: String? {
        _read { yield fields.cancelReason }
        _modify { yield &fields.cancelReason }
    }
    /// Who asked: the source of the job's task_cancelled event.
    public var cancelSource: String? {
        _read { yield fields.cancelSource }
        _modify { yield &fields.cancelSource }
    }
    /// Set once its deadline has passed while it ran: its next end is then FAILED with TIMEOUT.
    public var isExpired: Bool {
        _read { yield fields.isExpired }
        _modify { yield &fields.isExpired }
    }
    /// Who has its task file.
    public var claim: TaskClaim {
        _read { yield fields.claim }
        _modify { yield &fields.claim }
    }
    /// Of `spec.dependsOn`, how many have not succeeded: while there are any, the job does not start. Not stored, as it
    /// follows from the parents; 0 for a job that has ended.
    public var openParents: Int {
        _read { yield fields.openParents }
        _modify { yield &fields.openParents }
    }
    /// Attempts that were given a number but never ran; they do not count against the retry policy.
    public var unstartedAttempts: UInt32 {
        _read { yield fields.unstartedAttempts }
        _modify { yield &fields.unstartedAttempts }
    }
    /// What its attempts have left on the disk, their working directories included.
    public var outputBytes: Int64 {
        _read { yield fields.outputBytes }
        _modify { yield &fields.outputBytes }
    }
    /// Of its newest event.
    public var lastSequence: UInt64 {
        _read { yield fields.lastSequence }
        _modify { yield &fields.lastSequence }
    }

    public init(spec: JobSpec, submittedAt: Timestamp) {
        content = Shared(Fields(spec: spec, submittedAt: submittedAt))
    }

    public var id: String { spec.id }
    var key: JobKey { spec.key }
    public var jobClass: JobClass { spec.jobClass }

    /// When it fails with TIMEOUT unless it has ended.
    public var deadline: Timestamp? { spec.deadline.map { submittedAt.advanced(by: $0) } }

    /// Whether its attempt, if it has one, is to be ended: the ledger then gives the job the end that it has coming, or puts
    /// it back into the queue where another server has it.
    public var isToStop: Bool { cancelReason != nil || isExpired || claim != .here }

    /// Queued, for nothing but a place and the end of a back-off.
    var waitsForItsTurn: Bool { state == .queued && openParents == 0 && claim == .here }
}
