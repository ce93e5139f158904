import Logging
import Orchestrator
import Protocol
import RPCServer

/// A StreamEvents call: a cursor in the event log, pulled by the connection.
///
/// @unchecked: everything but `fetched` is touched on the connection's event loop only, once the handler has returned
/// the source; a page fetched elsewhere comes back through `fetched`.
final class EventSource: PullSource, @unchecked Sendable {
    /// One page of history: enough to fill the socket, little enough to have a thousand of them.
    private static let pageBytes = 256 * 1024

    private let reader: EventReader
    private let log: EventLog
    private let logger: Logger
    private var fetch: Task<Void, Never>?
    private let fetched = Fetched<EventPage>()

    init(reader: sending EventReader, log: EventLog, logger: Logger) {
        self.reader = reader
        self.log = log
        self.logger = logger
    }

    func attach(wake: @escaping @Sendable () -> Void) { fetched.attach(wake) }

    func read(into buffer: UnsafeMutableRawBufferPointer) -> PullOutcome {
        if fetch != nil {
            guard let result = fetched.take() else { return .pending }
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
        fetch = Task { [log, fetched] in
            await fetched.put { try await log.page(after: after, filter: filter, maxBytes: Self.pageBytes) }
        }
    }

    private func status(of error: any Error) -> Status {
        if let error = error as? OrchestratorError { return Status(error) }
        logger.error("reading the event history failed", metadata: ["error": "\(error)"])
        return Status(.internal, "reading the event history failed; the server's log has the cause")
    }

    func close() {
        fetch?.cancel()
        fetched.detach()
        reader.close()
    }

    func statusAtShutdown() -> Status {
        Status(
            .unavailable,
            "the server is going away, or this connection is too old; call StreamEvents again with after_sequence set to "
                + "the last sequence received"
        ).because("SERVER_STOPPING")
    }
}
