import Foundation
import NIOCore

/// A TCP connection that sends exactly the bytes a test wants, however wrong.
final class RawConnection: Sendable {
    private let descriptor: Int32

    init(port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        // A test that waits longer than this has failed.
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        // NIO's address, for which C module the members of sockaddr_in belong to depends on what else is imported.
        let result = try SocketAddress(ipAddress: "127.0.0.1", port: port).withSockAddr { [descriptor] in
            connect(descriptor, $0, socklen_t($1))
        }
        guard result == 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
    }

    deinit { close(descriptor) }

    func write(_ text: String) {
        let bytes = Array(text.utf8)
        _ = send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }

    /// What comes until the server closes the connection; nil when it does not.
    func readToEnd() async -> String? { await read { _ in false } }

    /// What comes until it contains `text`, or the connection ends.
    func read(until text: String) async -> String? { await read { $0.contains(text) } }

    private func read(until isEnough: @escaping @Sendable (String) -> Bool) async -> String? {
        await withCheckedContinuation { continuation in
            // A thread of its own: a blocked one of the pool would hold up the server under test.
            Thread.detachNewThread {
                var all: [UInt8] = []
                var buffer = [UInt8](repeating: 0, count: 64 << 10)
                while true {
                    let count = recv(self.descriptor, &buffer, buffer.count, 0)
                    if count > 0 { all += buffer[..<count] }
                    let text = String(decoding: all, as: UTF8.self)
                    // A reset also ends a connection.
                    if count == 0 || (count < 0 && errno == ECONNRESET) || (count > 0 && isEnough(text)) {
                        return continuation.resume(returning: text)
                    }
                    if count < 0 { return continuation.resume(returning: nil) }
                }
            }
        }
    }
}
