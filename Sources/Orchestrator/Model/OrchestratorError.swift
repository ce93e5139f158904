/// What a caller is told when a request can't be met. The kinds are those that the RPC and HTTP fronts can express; the
/// message is one line: what was wrong, with which value, and what to do next.
public struct OrchestratorError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Kind: Sendable, Equatable {
        /// `field` is the path of the offending field, as the caller wrote it.
        case invalidArgument(field: String)
        case notFound
        case alreadyExists
        case failedPrecondition
        /// The cursor is older than what is kept.
        case outOfRange(oldest: UInt64)
        case resourceExhausted(retryAfter: Duration)
        case unavailable
        case unimplemented
        case `internal`
    }

    /// Why, for programs. The raw values are constants that clients compare with; `Documentation/errors.md` lists them.
    public enum Reason: String, Sendable, CaseIterable {
        case jobNotFound = "JOB_NOT_FOUND"
        case jobExists = "JOB_EXISTS_WITH_OTHER_CONTENT"
        case jobNotQueued = "JOB_NOT_QUEUED"
        case eventsNoLongerKept = "EVENTS_NO_LONGER_KEPT"
        case cursorAhead = "CURSOR_AHEAD_OF_EVENTS"
        case attemptNotFound = "ATTEMPT_NOT_FOUND"
        case noOutputYet = "NO_OUTPUT_YET"
        case jobNeverStarted = "JOB_NEVER_STARTED"
        case outputNoLongerKept = "OUTPUT_NO_LONGER_KEPT"
        case offsetBehindEnd = "OFFSET_BEHIND_END"
        case slurmNotConfigured = "SLURM_NOT_CONFIGURED"
        case jobNotInSlurm = "JOB_NOT_IN_SLURM"
        case slurmRefused = "SLURM_REFUSED"
        case slurmUnavailable = "SLURM_UNAVAILABLE"
        case jobChanging = "JOB_CHANGING"
        case tooManyOpenJobs = "TOO_MANY_OPEN_JOBS"
        case tooManySubmissions = "TOO_MANY_SUBMISSIONS"
        case diskFull = "DISK_FULL"
        case ledgerUnavailable = "LEDGER_UNAVAILABLE"
        case serverStopping = "SERVER_STOPPING"
        case fieldNotSupported = "FIELD_NOT_SUPPORTED"
    }

    public var kind: Kind
    public var message: String
    /// nil when there is nothing that a program could do about it but what the kind says.
    public private(set) var reason: Reason?
    /// The job that it is about.
    public private(set) var jobID: String?
    /// Values that belong to the reason, by names in lower case.
    public private(set) var metadata: [String: String] = [:]
    private var delay: Duration?

    public init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    /// The same error with its reason.
    public func because(_ reason: Reason, job: String? = nil, _ metadata: [String: String] = [:]) -> OrchestratorError {
        var error = self
        error.reason = reason
        error.jobID = job
        error.metadata = metadata
        return error
    }

    /// The same error with the time after which it is worth a retry.
    public func retrying(after delay: Duration) -> OrchestratorError {
        var error = self
        error.delay = delay
        return error
    }

    /// When to try again; nil when nothing is known of that.
    public var retryAfter: Duration? {
        if case .resourceExhausted(let delay) = kind { delay } else { delay }
    }

    public var description: String { message }

    public static func invalidArgument(_ field: String, _ message: String) -> OrchestratorError {
        OrchestratorError(.invalidArgument(field: field), message)
    }
}
