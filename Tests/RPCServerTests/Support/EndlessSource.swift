import Protocol
import RPCServer
import Synchronization

/// A pull source that always has another of the same message.
final class EndlessSource: PullSource {
    private let message: [UInt8]
    private let position = Mutex(0)

    init(message: [UInt8]) { self.message = message }

    func read(into buffer: UnsafeMutableRawBufferPointer) -> PullOutcome {
        position.withLock { position in
            let count = min(buffer.count, message.count - position)
            buffer.copyBytes(from: message[position..<(position + count)])
            position = (position + count) % message.count
            return .bytes(count)
        }
    }

    func attach(wake: @escaping @Sendable () -> Void) {}
    func close() {}
    func statusAtShutdown() -> Status { Status(.unavailable, "there would be more") }
}
