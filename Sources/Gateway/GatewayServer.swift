import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import Orchestrator
import ServiceLifecycle

/// The HTTP/1.1 server in front of the routes, as a service: `run()` returns after a graceful shutdown, once the requests
/// in flight are answered or their grace is over.
public struct GatewayServer: Service {
    private let configuration: GatewayConfiguration
    private let router: @Sendable () -> Router<GatewayContext>
    private let logger: Logger
    private let onListening: @Sendable (_ host: String, _ port: Int) async -> Void

    /// - Parameter onListening: called once, when connections are accepted, with the address and the port the kernel gave.
    public init(
        configuration: GatewayConfiguration, dependencies: GatewayDependencies, logger: Logger,
        onListening: @escaping @Sendable (_ host: String, _ port: Int) async -> Void = { _, _ in }
    ) {
        self.init(configuration: configuration, logger: logger, onListening: onListening) {
            GatewayRoutes(configuration: configuration, dependencies: dependencies).router()
        }
    }

    /// The routes of a runner of its own.
    public init(
        configuration: GatewayConfiguration, runner dependencies: RunnerDependencies, logger: Logger,
        onListening: @escaping @Sendable (_ host: String, _ port: Int) async -> Void = { _, _ in }
    ) {
        self.init(configuration: configuration, logger: logger, onListening: onListening) {
            RunnerRoutes(dependencies: dependencies).router(configuration)
        }
    }

    private init(
        configuration: GatewayConfiguration, logger: Logger,
        onListening: @escaping @Sendable (_ host: String, _ port: Int) async -> Void,
        router: @escaping @Sendable () -> Router<GatewayContext>
    ) {
        self.configuration = configuration
        self.router = router
        self.logger = logger
        self.onListening = onListening
    }

    /// - Throws: `OrchestratorError` of kind `unavailable` when the address can't be listened on.
    public func run() async throws {
        let application = self.application()
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await application.run() }
                group.addTask {
                    try await gracefulShutdown()
                    try await Task.sleep(for: configuration.shutdownGrace)
                    logger.info("closing connections that did not end in time")
                }
                defer { group.cancelAll() }
                try await group.next()
            }
        } catch let error as IOError {
            throw OrchestratorError(
                .unavailable,
                "can't listen for HTTP on \(configuration.host):\(configuration.port): \(error.description); stop the "
                    + "program that holds it, or choose another address (port 0 picks a free one)")
        }
    }

    func application() -> Application<RouterResponder<GatewayContext>> {
        var logger = self.logger
        // Hummingbird logs each connection at info.
        logger.logLevel = max(logger.logLevel, .notice)
        let http = HTTP1Channel.Configuration(
            idleTimeout: TimeAmount.nanoseconds(configuration.idleTimeout.nanoseconds),
            httpDecoderConfiguration: HTTP1Channel.Configuration.DecoderConfiguration(
                maxHeaderFieldSize: configuration.maxHeaderBytes, maxHeaderListSize: configuration.maxHeaderBytes,
                maxHeaderFieldCount: 100))
        return Application(
            router: router(),
            server: HTTPServerBuilder { [tls = configuration.tls] responder in
                let plain = HTTP1Channel(responder: responder, configuration: http)
                guard let tls else { return plain }
                return TLSChannel(base: plain, context: tls)
            },
            configuration: ApplicationConfiguration(
                address: .hostname(configuration.host, port: configuration.port),
                availableConnectionsDelegate: .maximum(configuration.maxConnections, logger: logger)),
            onServerRunning: { [configuration, onListening] channel in
                await onListening(
                    channel.localAddress?.ipAddress ?? configuration.host,
                    channel.localAddress?.port ?? configuration.port)
            },
            logger: logger)
    }
}
