import Logging
import Synchronization

/// A place in the output of one attempt. It holds positions and no bytes; each `next` reads one bounded piece.
///
/// The rule that makes the end certain: an attempt's files are final once the ledger says that it is over, so they are
/// read after the ledger was asked, and an end found then is the end.
public actor LogCursor {
    /// Waits of one that growth does not wake, because the system has no more watches: doubled up to the second.
    private static let looks: (first: Duration, longest: Duration) = (.milliseconds(20), .milliseconds(500))

    private struct Position {
        var stream: LogStream
        var offset: UInt64
        /// Of a reader that does not follow: where the file ended when it began.
        var limit: UInt64?
        var extent: LogExtent?
    }

    private enum Standing {
        case notBegun
        case running
        case over
    }

    /// The attempt that is read, from 1.
    public nonisolated let attempt: UInt32

    /// Of a log line about the job that is read.
    public nonisolated var logMetadata: Logger.Metadata { logs.ledger.logMetadata(of: request.jobID) }

    private let logs: JobLogs
    private let request: LogRequest
    private let directory: AttemptDirectory
    private var positions: [Position]
    /// Of the position whose turn is next: both streams move, whichever is busier.
    private var turn = 0
    private nonisolated let token: LogSignals.Token?
    private nonisolated let isInterrupted = Atomic(false)
    private var signals: AsyncStream<Void>.AsyncIterator?
    private var isWatching = false

    init(logs: JobLogs, request: LogRequest, attempt: UInt32, directory: AttemptDirectory) {
        self.logs = logs
        self.request = request
        self.attempt = attempt
        self.directory = directory
        positions = (request.stream.map { [$0] } ?? LogStream.allCases).map {
            Position(stream: $0, offset: request.offset)
        }
        if request.follows {
            let (token, signals) = logs.signals.add(jobID: request.jobID)
            self.token = token
            self.signals = signals.makeAsyncIterator()
        } else {
            token = nil
        }
    }

    deinit {
        if let token { logs.signals.remove(token) }
    }

    /// The server is stopping: a `next` that waits, or the next one, throws `unavailable`.
    public nonisolated func interrupt() {
        isInterrupted.store(true, ordering: .sequentiallyConsistent)
        if let token { logs.signals.wake(token) }
    }

    /// Refuses what can be refused before the first piece.
    func begin(_ job: Job) async throws {
        let standing = try standing(of: job)
        if standing == .over { try await settle(job) }
        guard !request.follows, standing == .running else { return }
        for index in positions.indices {
            let size = try await logs.files.size(positions[index].stream, in: directory)
            guard request.offset <= size else {
                throw OrchestratorError.behindTheEnd(
                    request.offset, of: positions[index].stream, total: size, attempt: attempt)
            }
            positions[index].limit = size
        }
    }

    /// The next piece; nil at the end. Waits, when it follows, until there is one.
    public func next() async throws -> LogPiece? {
        var pause = Self.looks.first
        while true {
            try Task.checkCancellation()
            if isInterrupted.load(ordering: .sequentiallyConsistent) {
                throw OrchestratorError(.unavailable, "the server is stopping; come again with the offset reached")
            }
            let job = try await job()
            let standing = try standing(of: job)
            if standing == .over { try await settle(job) }
            for _ in positions.indices {
                let index = turn
                turn = (turn + 1) % positions.count
                if let piece = try await piece(index) { return piece }
            }
            if standing == .over || !request.follows { return nil }
            await wait(standing, &pause)
        }
    }

    private func job() async throws -> Job {
        if let job = logs.ledger.cachedJob(request.jobID) { return job }
        return try await logs.ledger.job(request.jobID)
    }

    private func standing(of job: Job) throws -> Standing {
        // Attempts from before that, of which there may be files, have the same numbers as the other's.
        if job.state.isTerminal, job.claim == .elsewhere { throw OrchestratorError.ranElsewhere(job) }
        if job.attempt < attempt {
            if job.state.isTerminal { throw OrchestratorError.neverStarted(job) }
            return .notBegun
        }
        return job.isUnderWay(attempt: attempt) ? .running : .over
    }

    /// The attempt is over: from here on its files say where its output ends.
    private func settle(_ job: Job) async throws {
        for index in positions.indices where positions[index].extent == nil {
            let position = positions[index]
            let extent = try await logs.files.extent(position.stream, in: directory)
            positions[index].extent = extent
            guard position.offset > extent.total || extent.total == 0 else { continue }
            if await !logs.files.exists(directory) {
                if hadNoProcess(job) { continue }
                throw OrchestratorError.logsGone(request.jobID, attempt: attempt)
            }
            if position.offset > extent.total {
                throw OrchestratorError.behindTheEnd(
                    position.offset, of: position.stream, total: extent.total, attempt: attempt)
            }
        }
    }

    /// Without a process there is no directory, and the output is nothing rather than gone.
    private func hadNoProcess(_ job: Job) -> Bool {
        job.unstartedAttempts > 0
            || (job.attempt == attempt && [.runnerError, .submitRejected].contains(job.failureReason))
    }

    private func piece(_ index: Int) async throws -> LogPiece? {
        let position = positions[index]
        var offset = position.offset
        let bytes: [UInt8]
        switch position.extent?.place(of: offset) ?? .beginning {
        case .end: return nil
        case .beginning:
            let room = position.limit.map { Int(clamping: $0 - min(offset, $0)) } ?? LogFiles.pieceBytes
            if room == 0 { return nil }
            bytes = try await logs.files.beginning(position.stream, in: directory, from: offset, limit: room)
            if bytes.isEmpty {
                // The files were there a moment ago.
                if position.extent != nil { throw OrchestratorError.logsGone(request.jobID, attempt: attempt) }
                return nil
            }
        case .tail(let at, let start):
            offset = start
            bytes = try await logs.files.tail(position.stream, in: directory, from: at)
            if bytes.isEmpty, let total = position.extent?.total { offset = total }
        }
        positions[index].offset = offset + UInt64(bytes.count)
        return LogPiece(
            stream: position.stream, offset: offset, bytes: bytes,
            isTruncated: position.extent?.isTruncated(at: offset) ?? false)
    }

    private func wait(_ standing: Standing, _ pause: inout Duration) async {
        guard let token else { return }
        if standing == .running, !isWatching {
            isWatching = logs.signals.watch(directory.path, for: token)
            // What was written before the watch is read first.
            if isWatching { return }
        }
        // Until the runner has made the directory there is nothing to watch; and there may be no watches left.
        var look: Task<Void, Never>?
        if standing == .running, !isWatching {
            look = Task { [signals = logs.signals, pause] in
                try? await Task.sleep(for: pause)
                signals.wake(token)
            }
            pause = min(pause * 2, Self.looks.longest)
        }
        var waiting = signals
        await waiting?.next(isolation: self)
        signals = waiting
        look?.cancel()
    }
}
