import NIOCore

/// Event loops, and a socket that listens and gives them connections.
protocol ConnectionSource: Sendable {
    var eventLoops: [any EventLoop] { get }

    /// Accepts connections from then on. To be called once.
    ///
    /// - Parameters:
    ///   - contexts: those of `eventLoops`, in their order.
    ///   - counts: asked for each connection, and told of its end.
    ///   - driver: makes what speaks to a connection; called on its loop.
    /// - Returns: where it listens.
    /// - Throws: NIO's error when the address can't be bound.
    func listen(
        _ configuration: RPCServer.Configuration, on contexts: [NIOLoopBound<LoopContext>], counts: ConnectionCounters,
        driver: @escaping @Sendable (LoopContext) throws -> ConnectionDriver
    ) async throws -> SocketAddress?

    /// Accepts nothing more. Harmless when done already.
    func stopListening() async

    /// Ends the loops; their connections are closed before.
    func end() async
}
