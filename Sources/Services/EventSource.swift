import Logging
import Orchestrator
import Protocol
import RPCServer
import Synchronization

/// A StreamEvents call: a cursor in the event log, pulled by the connection.
///
/// @unchecked: the reader and the flags are touched on the connection's event loop only, once the handler has returned
/// the source; a page fetched elsewhere comes back through `fetched`.
final class EventSource: PullSource, @unchecked Sendable {
    /// One page of history: enough to fill the socket, little enough to have a thousand of them.
    private static let pageBytes = 256 * 1024

    private let reader: EventReader
    private let log: EventLog
    private let logger: Logger
    private let onClose: @Sendable () -> Void
    private var wake: (@Sendable () -> Void)?
    private var fetch: Task<Void, Never>?
    private let fetched = Mutex<Result<EventPage, any Error>?>(nil)

    init(reader: sending EventReader, log: EventLog, logger: Logger, onClose: @escaping @Sendable () -> Void) {
        self.reader = reader
        self.log = log
        self.logger = logger
        self.onClose = onClose
    }

    func attach(wake: @escaping @Sendable () -> Void) { self.wake = wake }

    func read(into buffer: UnsafeMutableRawBufferPointer) -> PullOutcome {
        if fetch != nil {
            guard let result = fetched.withLock({ $0.take() }) else { return .pending }
            fetch = nil
            switch result {
            case .success(let page): reader.supply(page)
            case .failure(let error): return .ended(status(of: error))
            }
        }
        switch reader.read(into: buffer) {
        case .bytes(let count): return .bytes(count)
        case .caughtUp: return .pending
        case .ended: return .ended(.ok)
        case .needsHistory:
            fetchHistory()
            return .pending
        }
    }

    /// The cursor has fallen off the ring, or starts before it: the next page comes from the disk.
    private func fetchHistory() {
        let (after, filter) = (reader.cursor, reader.pageFilter)
        fetch = Task { [log, weak self] in
            let result: Result<EventPage, any Error>
            do {
                result = .success(try await log.page(after: after, filter: filter, maxBytes: Self.pageBytes))
            } catch {
                result = .failure(error)
            }
            guard let self else { return }
            fetched.withLock { $0 = result }
            wake?()
        }
    }

    private func status(of error: any Error) -> Status {
        if let error = error as? OrchestratorError { return Status(error) }
        logger.error("reading the event history failed", metadata: ["error": "\(error)"])
        return Status(.internal, "reading the event history failed; the server's log has the cause")
    }

    func close() {
        fetch?.cancel()
        wake = nil
        onClose()
    }

    func statusAtShutdown() -> Status {
        Status(
            .unavailable,
            "the server is shutting down; call StreamEvents again with after_sequence set to the last sequence received"
        ).because("SERVER_STOPPING")
    }
}
