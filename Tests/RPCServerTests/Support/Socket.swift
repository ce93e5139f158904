import Glibc
import NIOCore

/// A TCP socket on loopback that never blocks but in `wait`, which has a deadline.
final class Socket {
    enum Failure: Error {
        case connect(errno: Int32)
        case timedOut(waitingFor: String)
    }

    private let descriptor: Int32

    init(host: String = "127.0.0.1", port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        // NIO's address, for which C module the members of sockaddr_in belong to depends on what else is imported.
        let result = try SocketAddress(ipAddress: host, port: port).withSockAddr { [descriptor] in
            connect(descriptor, $0, socklen_t($1))
        }
        // Throwing runs deinit, which closes.
        guard result == 0 else { throw Failure.connect(errno: errno) }
        var on: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
    }

    deinit { Glibc.close(descriptor) }

    /// For a peer that takes little at once.
    func shrinkReceiveBuffer() {
        var size: Int32 = 64 * 1024
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
    }

    /// Makes the close a reset, as a process that was killed or a broken network would.
    func closeByReset() {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<linger>.size))
        shutdown(descriptor, Int32(SHUT_RDWR))
    }

    func closeOutput() { shutdown(descriptor, Int32(SHUT_WR)) }

    func wait(
        for what: String, writing: Bool, until deadline: ContinuousClock.Instant
    ) throws -> (readable: Bool, writable: Bool) {
        let events = try wait(for: what, events: POLLIN | (writing ? POLLOUT : 0), until: deadline)
        return (events & (POLLIN | POLLHUP | POLLERR) != 0, events & POLLOUT != 0)
    }

    func waitToWrite(for what: String, until deadline: ContinuousClock.Instant) throws {
        _ = try wait(for: what, events: POLLOUT, until: deadline)
    }

    private func wait(for what: String, events: Int32, until deadline: ContinuousClock.Instant) throws -> Int32 {
        var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
        let left = deadline - .now
        guard left > .zero else { throw Failure.timedOut(waitingFor: what) }
        let (seconds, attoseconds) = left.components
        let ready = poll(&entry, 1, Int32(seconds * 1000 + attoseconds / 1_000_000_000_000_000) + 1)
        guard ready > 0 else { throw Failure.timedOut(waitingFor: what) }
        return Int32(entry.revents)
    }

    /// nil when the peer is gone, empty when there is nothing now.
    func read() -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
        if count > 0 { return Array(buffer[..<count]) }
        return count < 0 && (errno == EAGAIN || errno == EINTR) ? [] : nil
    }

    /// How many bytes were taken; nil when the peer is gone.
    func write(_ bytes: ArraySlice<UInt8>) -> Int? {
        let count = bytes.withUnsafeBytes {
            Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
        }
        if count >= 0 { return count }
        return errno == EAGAIN || errno == EINTR ? 0 : nil
    }
}
