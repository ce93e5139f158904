import Logging
import Orchestrator
import Protocol
import RPCServer

/// A StreamLogs call: one piece of output in memory at a time, read when the one before has gone to the wire. A reader
/// that is slow holds that piece and nothing else.
///
/// @unchecked: everything but `fetched` is touched on the connection's event loop only, once the handler has returned the
/// source; a piece read elsewhere comes back through `fetched`.
final class LogSource: PullSource, @unchecked Sendable {
    private let cursor: LogCursor
    private let logger: Logger
    private var fetch: Task<Void, Never>?
    private let fetched = Fetched<LogPiece?>()
    /// The framed chunk on its way, and how much of it has gone.
    private var chunk: [UInt8] = []
    private var sent = 0

    init(cursor: LogCursor, logger: Logger) {
        self.cursor = cursor
        self.logger = logger
    }

    func attach(wake: @escaping @Sendable () -> Void) { fetched.attach(wake) }

    func read(into buffer: UnsafeMutableRawBufferPointer) -> PullOutcome {
        if sent == chunk.count {
            guard fetch != nil else {
                fetchPiece()
                return .pending
            }
            guard let result = fetched.take() else { return .pending }
            fetch = nil
            switch result {
            case .success(let piece?):
                chunk = Wire.LogChunk(piece).framed()
                sent = 0
            case .success(nil): return .ended(.ok)
            case .failure(let error): return .ended(status(of: error))
            }
        }
        let count = min(buffer.count, chunk.count - sent)
        chunk.withUnsafeBytes { bytes in
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[sent..<sent + count]))
        }
        sent += count
        if sent == chunk.count {
            chunk = []
            sent = 0
        }
        return .bytes(count)
    }

    private func fetchPiece() {
        fetch = Task { [cursor, fetched] in await fetched.put { try await cursor.next() } }
    }

    private func status(of error: any Error) -> Status {
        if let error = error as? OrchestratorError { return Status(error) }
        logger.error(
            "reading a job's output failed", metadata: cursor.logMetadata.merging(["error": "\(error)"]) { $1 })
        return Status(.internal, "reading the job's output failed; the server's log has the cause")
    }

    func close() {
        fetch?.cancel()
        fetched.detach()
    }

    func statusAtShutdown() -> Status {
        Status(
            .unavailable,
            "the server is going away, or this connection is too old; call StreamLogs again for each stream with offset set "
                + "to where it ended"
        ).because("SERVER_STOPPING")
    }
}

extension Wire.LogChunk {
    init(_ piece: LogPiece) {
        self.init(
            stream: piece.stream == .stdout ? .stdout : .stderr, offset: piece.offset, data: piece.bytes,
            truncated: piece.isTruncated)
    }
}
