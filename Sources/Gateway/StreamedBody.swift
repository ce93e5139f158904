import Hummingbird
import NIOCore
import Orchestrator
import Synchronization

/// Counts the streams that are open, and refuses more than there may be.
final class StreamPlaces: Sendable {
    private let limit: Int
    private let open = Mutex(0)
    private let gauge: Gauge

    init(limit: Int, registry: MetricsRegistry) {
        self.limit = limit
        gauge = registry.gauge("gateway_streams", help: "HTTP responses that stream events or output now.")[]
    }

    /// - Throws: `unavailable` when all are taken.
    func take() throws -> StreamPlace {
        let isTaken = open.withLock { open in
            if open >= limit { return false }
            open += 1
            return true
        }
        guard isTaken else {
            throw OrchestratorError(
                .unavailable,
                "\(limit) streams are open already; close one, or follow over gRPC, which has no such limit")
        }
        gauge.add(1)
        return StreamPlace(self)
    }

    fileprivate func giveBack() {
        open.withLock { $0 -= 1 }
        gauge.add(-1)
    }
}

/// One of the places, given back when nobody holds it any more: also when the response is never written.
final class StreamPlace: Sendable {
    private let places: StreamPlaces

    fileprivate init(_ places: StreamPlaces) { self.places = places }

    deinit { places.giveBack() }
}

/// Writes a response piece by piece: the next is asked for when the socket has taken the one before. A client that takes
/// nothing for long loses its connection.
struct PieceWriter {
    private var writer: any ResponseBodyWriter
    private let channel: any Channel
    private let timeout: Duration

    init(_ writer: any ResponseBodyWriter, channel: any Channel, timeout: Duration) {
        self.writer = writer
        self.channel = channel
        self.timeout = timeout
    }

    mutating func write(_ bytes: [UInt8]) async throws {
        let alarm = channel.eventLoop.scheduleTask(in: .nanoseconds(timeout.nanoseconds)) { [channel] in
            channel.close(promise: nil)
        }
        defer { alarm.cancel() }
        try await writer.write(ByteBuffer(bytes: bytes))
    }

    consuming func finish() async throws { try await writer.finish(nil) }
}
