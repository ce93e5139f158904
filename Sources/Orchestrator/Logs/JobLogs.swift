/// Reads what attempts write, by offset, while they write it and afterwards.
public final class JobLogs: Sendable {
    let ledger: Ledger
    let files = LogFiles()
    let signals = LogSignals()
    private let directory: @Sendable (_ jobID: String, _ attempt: UInt32) throws -> AttemptDirectory

    /// - Parameter directory: where the files of an attempt are.
    public init(
        ledger: Ledger, directory: @escaping @Sendable (_ jobID: String, _ attempt: UInt32) throws -> AttemptDirectory
    ) {
        self.ledger = ledger
        self.directory = directory
        ledger.observe { [signals] in signals.changed($0.changes) }
    }

    /// Cursors that follow an attempt now.
    public var followers: Int { signals.count }

    /// A place in an attempt's output.
    ///
    /// - Throws: `notFound` for a job or an attempt there never was; `failedPrecondition` when no attempt has started (and
    ///   none is waited for), or the job ended at another server; `outOfRange` for an offset behind the end, and for output that retention removed;
    ///   `invalidArgument` for an offset with both streams.
    public func open(_ request: LogRequest) async throws -> LogCursor {
        if request.offset > 0, request.stream == nil {
            throw OrchestratorError.invalidArgument(
                "offset", "offset: \(request.offset) with both streams; name one, or start from 0")
        }
        let job = try await ledger.job(request.jobID)
        let attempt = request.attempt == 0 ? max(job.attempt, 1) : request.attempt
        if request.attempt > job.attempt {
            let had =
                job.attempt == 0
                ? "it has not started yet"
                : "it has had \(job.attempt) attempt\(job.attempt == 1 ? "" : "s")"
            throw OrchestratorError(
                .notFound, "attempt \(request.attempt) of job \"\(job.id)\": \(had); ask for 0, the newest"
            ).because(.attemptNotFound, job: job.id, ["attempt": "\(request.attempt)"])
        }
        if job.attempt == 0 {
            if job.state.isTerminal { throw OrchestratorError.neverStarted(job) }
            guard request.follows else {
                throw OrchestratorError(
                    .failedPrecondition,
                    "job \"\(job.id)\" is \(job.state.word) and has no output yet; follow it, or ask again once it runs"
                ).because(.noOutputYet, job: job.id)
            }
        }
        let cursor = LogCursor(
            logs: self, request: request, attempt: attempt, directory: try directory(job.id, attempt))
        try await cursor.begin(job)
        return cursor
    }

    /// The offset from which `count` bytes are left, now or, once the attempt is over, at its end.
    ///
    /// - Parameter request: its offset is ignored; without a stream it is standard output.
    public func offset(ofLast count: UInt64, _ request: LogRequest) async throws -> UInt64 {
        let job = try await ledger.job(request.jobID)
        let attempt = request.attempt == 0 ? max(job.attempt, 1) : request.attempt
        let stream = request.stream ?? .stdout
        let total =
            if job.isUnderWay(attempt: attempt) {
                try await files.size(stream, in: try directory(job.id, attempt))
            } else {
                try await files.extent(stream, in: try directory(job.id, attempt)).total
            }
        return total - min(count, total)
    }
}

extension Job {
    /// Whether the attempt has begun and is not over, so that its files may yet grow. One that is on its way to Slurm has
    /// begun, though its job is queued.
    func isUnderWay(attempt: UInt32) -> Bool {
        guard self.attempt == attempt else { return false }
        return state == .running || state == .submitted || (state == .queued && slurm?.isOpen == true)
    }
}

extension OrchestratorError {
    static func neverStarted(_ job: Job) -> OrchestratorError {
        OrchestratorError(
            .failedPrecondition,
            "job \"\(job.id)\" ended as \(job.state.word) before its first attempt: it has no output"
        ).because(.jobNeverStarted, job: job.id)
    }

    static func ranElsewhere(_ job: Job) -> OrchestratorError {
        OrchestratorError(
            .failedPrecondition,
            "job \"\(job.id)\" was taken over by another server on its queue directory; look for its output there"
        ).because(.jobNeverStarted, job: job.id)
    }

    static func logsGone(_ jobID: String, attempt: UInt32) -> OrchestratorError {
        OrchestratorError(
            .outOfRange(oldest: 0),
            "the output of attempt \(attempt) of job \"\(jobID)\" is no longer kept; a later attempt's may be"
        ).because(.outputNoLongerKept, job: jobID, ["attempt": "\(attempt)"])
    }

    static func behindTheEnd(_ offset: UInt64, of stream: LogStream, total: UInt64, attempt: UInt32)
        -> OrchestratorError
    {
        OrchestratorError(
            .outOfRange(oldest: 0),
            "offset \(offset): the \(stream.rawValue) of attempt \(attempt) has \(total) bytes; resume with that or less"
        ).because(.offsetBehindEnd, ["bytes": "\(total)", "attempt": "\(attempt)"])
    }
}
