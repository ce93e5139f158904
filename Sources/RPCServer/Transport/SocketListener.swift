import CLinux
import Glibc
import Logging
import NIOCore

/// A socket that listens, on one loop, and hands on what connects.
final class SocketListener: SocketWatcher {
    private let loop: SocketLoop
    private let descriptor: Int32
    private let logger: Logger
    private let accepted: (Int32, SocketAddress?) -> Void
    private var watch: SocketLoop.Watch?
    private var pause: Scheduled<Void>?
    private var isShort = false

    /// Connections taken in one turn of the loop.
    private static let acceptsPerTurn = 64
    /// Until the next try, when there was no descriptor left for a connection.
    private static let pauseWhenShort = TimeAmount.milliseconds(100)

    /// - Parameters:
    ///   - descriptor: that of `listen`; closed by `close`.
    ///   - accepted: is given a connected socket that does not block, and owns it from then on.
    init(
        _ loop: SocketLoop, _ descriptor: Int32, logger: Logger, accepted: @escaping (Int32, SocketAddress?) -> Void
    ) {
        self.loop = loop
        self.descriptor = descriptor
        self.logger = logger
        self.accepted = accepted
    }

    /// A socket that listens. From any thread; resolves a name, which may take a while.
    ///
    /// - Parameter port: 0 picks a free one.
    /// - Throws: `IOError`, or NIO's error for a name that is none.
    static func listen(host: String, port: Int, backlog: Int32) throws -> (descriptor: Int32, address: SocketAddress) {
        let wanted = try SocketAddress.makeAddressResolvingHost(host, port: port)
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(Int32(wanted.protocol.rawValue), type, 0)
        guard descriptor >= 0 else { throw IOError(errnoCode: errno, reason: "socket") }
        do {
            try Self.set(descriptor, SOL_SOCKET, SO_REUSEADDR)
            let bound = wanted.withSockAddr { address, size in bind(descriptor, address, socklen_t(size)) }
            guard bound == 0 else { throw IOError(errnoCode: errno, reason: "bind") }
            guard Glibc.listen(descriptor, backlog) == 0 else { throw IOError(errnoCode: errno, reason: "listen") }
            return (descriptor, try Self.address { getsockname(descriptor, $0, $1) } ?? wanted)
        } catch {
            Glibc.close(descriptor)
            throw error
        }
    }

    /// On the loop. - Throws: `IOError` when it can't be watched.
    func start() throws { watch = try loop.watch(descriptor, self) }

    func readable(isLast: Bool) {
        guard let watch, pause == nil else { return }
        var failures = 0
        for _ in 0..<Self.acceptsPerTurn {
            var connection: Int32 = -1
            var failure: Int32 = 0
            let peer = try? Self.address { address, size in
                connection = clinux_accept(descriptor, address, size)
                failure = errno
                return min(connection, 0)
            }
            guard connection >= 0 else {
                switch failure {
                case EAGAIN:
                    isShort = false
                    return
                case EMFILE, ENFILE, ENOBUFS, ENOMEM: return rest(failure)
                // One that has gone again (accept(2) names the network's errors, too), unless it goes on so.
                default:
                    failures += 1
                    if failures == Self.acceptsPerTurn { return rest(failure) }
                    continue
                }
            }
            try? Self.set(connection, Int32(IPPROTO_TCP), TCP_NODELAY)
            accepted(connection, peer)
        }
        loop.again(watch)
    }

    func writable() {}

    /// Waits before the next try: whoever is in the backlog would make the loop spin.
    private func rest(_ code: Int32) {
        if !isShort { logger.warning("no connection can be accepted for now: \(String(cString: strerror(code)))") }
        isShort = true
        let me = NIOLoopBound(self, eventLoop: loop)
        pause = loop.scheduleTask(in: Self.pauseWhenShort) {
            me.value.pause = nil
            me.value.readable(isLast: false)
        }
    }

    func close() {
        guard let watch else { return }
        self.watch = nil
        pause?.cancel()
        loop.unwatch(watch)
        Glibc.close(descriptor)
    }

    // MARK: Sockets

    private static func set(_ descriptor: Int32, _ level: Int32, _ option: Int32) throws {
        var on: Int32 = 1
        guard setsockopt(descriptor, level, option, &on, socklen_t(MemoryLayout<Int32>.size)) == 0 else {
            throw IOError(errnoCode: errno, reason: "setsockopt")
        }
    }

    /// What a call writes into a sockaddr; nil for one that is none of the internet's.
    private static func address(
        _ call: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
    ) throws -> SocketAddress? {
        var storage = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return try withUnsafeMutablePointer(to: &storage) { storage in
            let result = storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { call($0, &size) }
            guard result == 0 else { throw IOError(errnoCode: errno, reason: "address of a socket") }
            switch Int32(storage.pointee.ss_family) {
            case AF_INET:
                return storage.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { SocketAddress($0.pointee) }
            case AF_INET6:
                return storage.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { SocketAddress($0.pointee) }
            default: return nil
            }
        }
    }
}
