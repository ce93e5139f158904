import Glibc
import Logging
import NIOCore
import Synchronization

/// Connections in plain text, on loops of our own.
final class SocketSource: ConnectionSource {
    private let loops: [SocketLoop]
    /// Of the first loop, which accepts for all.
    private let listener = Mutex<NIOLoopBound<SocketListener>?>(nil)

    /// - Throws: `IOError` when there is no descriptor left.
    init(loops: Int) throws {
        var made: [SocketLoop] = []
        do {
            for number in 0..<loops { made.append(try SocketLoop(name: "rpc-\(number)")) }
        } catch {
            for loop in made { loop.stop {} }
            throw error
        }
        self.loops = made
    }

    var eventLoops: [any EventLoop] { loops }

    func listen(
        _ configuration: RPCServer.Configuration, on contexts: [NIOLoopBound<LoopContext>], counts: ConnectionCounters,
        driver: @escaping @Sendable (LoopContext) throws -> ConnectionDriver
    ) async throws -> SocketAddress? {
        let (descriptor, address) = try SocketListener.listen(
            host: configuration.host, port: configuration.port, backlog: configuration.backlog)
        let places = Array(zip(loops, contexts))
        let first = loops[0]
        let started = first.submit {
            var next = 0
            let listener = SocketListener(first, descriptor, logger: contexts[0].value.logger) { connection, address in
                let (loop, context) = places[next]
                next = (next + 1) % places.count
                // At once on its own loop, so that what it sends with its first packet finds it.
                let take: @Sendable () -> Void = {
                    Self.take(connection, from: address, on: loop, context.value, counts: counts, driver: driver)
                }
                if loop.inEventLoop { take() } else { loop.execute(take) }
            }
            try listener.start()
            return NIOLoopBound(listener, eventLoop: first)
        }
        do {
            let listener = try await started.get()
            self.listener.withLock { $0 = listener }
        } catch {
            close(descriptor)
            throw error
        }
        return address
    }

    private static func take(
        _ connection: Int32, from address: SocketAddress?, on loop: SocketLoop, _ context: LoopContext,
        counts: ConnectionCounters, driver: (LoopContext) throws -> ConnectionDriver
    ) {
        let peer = Peer(address: address?.description ?? "", host: address?.ipAddress ?? "", certificateSubject: nil)
        guard counts.admit() else {
            context.report(.tooManyConnections, of: peer)
            close(connection)
            return
        }
        do {
            let transport = SocketTransport(loop, connection, driver: try driver(context)) { counts.closed() }
            try transport.start(peer: peer)
        } catch {
            context.logger.warning("a connection can't be served: \(error)", metadata: ["peer": "\(peer.address)"])
            counts.closed()
            close(connection)
        }
    }

    func stopListening() async {
        guard let listener = listener.withLock({ $0 }) else { return }
        _ = try? await loops[0].submit { listener.value.close() }.get()
    }

    func end() async {
        for loop in loops { await loop.stop() }
    }
}
