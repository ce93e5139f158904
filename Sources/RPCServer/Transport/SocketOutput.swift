import Glibc
import NIOCore

/// Writes straight to a channel's socket, which nearly always takes all of a connection's output at once. NIO's way keeps
/// a queue of writes with their promises: ten times the instructions of this one. It sees to what the socket does not take.
struct SocketOutput {
    private let socket: NIOBSDSocket.Handle

    /// nil when the channel has no socket, as in tests.
    init?(_ channel: any Channel) {
        let socket = try? channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) {
            $0
        }
        guard let socket else { return nil }
        self.socket = socket
    }

    /// On the event loop of the channel, which must be active: until it is not, the descriptor is its own.
    /// - Returns: how many bytes the socket took. 0 on an error, too, which NIO's own write will meet again.
    func write(_ bytes: UnsafeRawBufferPointer) -> Int {
        max(0, send(socket, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL)))
    }
}
