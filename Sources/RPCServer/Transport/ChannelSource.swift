import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

/// Connections over TLS, on NIO's loops and channels.
final class ChannelSource: ConnectionSource {
    private let group: MultiThreadedEventLoopGroup
    private let tls: @Sendable () -> NIOSSLContext
    private let listener = Mutex<(any Channel)?>(nil)

    init(loops: Int, tls: @escaping @Sendable () -> NIOSSLContext) {
        group = MultiThreadedEventLoopGroup(numberOfThreads: loops)
        self.tls = tls
    }

    var eventLoops: [any EventLoop] { Array(group.makeIterator()) }

    func listen(
        _ configuration: RPCServer.Configuration, on contexts: [NIOLoopBound<LoopContext>], counts: ConnectionCounters,
        driver: @escaping @Sendable (LoopContext) throws -> ConnectionDriver
    ) async throws -> SocketAddress? {
        let byLoop = Dictionary(
            uniqueKeysWithValues: zip(eventLoops.map { ObjectIdentifier($0) }, contexts))
        let tls = self.tls
        let listener = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: configuration.backlog)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.recvAllocator, value: ReadSize())
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let loop = byLoop[ObjectIdentifier(channel.eventLoop)]?.value else { return }
                    guard counts.admit() else {
                        loop.report(.tooManyConnections, of: Peer(channel))
                        return channel.close(promise: nil)
                    }
                    channel.closeFuture.whenComplete { _ in counts.closed() }
                    try channel.pipeline.syncOperations.addHandlers(
                        NIOSSLServerHandler(context: tls()),
                        TLSHandshakeGate(
                            logger: loop.logger, report: { loop.report($0, of: $1) },
                            next: { ChannelTransport(try driver(loop)) }))
                }
            }
            .bind(host: configuration.host, port: configuration.port).get()
        self.listener.withLock { $0 = listener }
        return listener.localAddress
    }

    func stopListening() async { try? await listener.withLock { $0 }?.close() }

    func end() async { try? await group.shutdownGracefully() }
}
