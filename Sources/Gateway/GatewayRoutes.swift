import HTTPTypes
import Hummingbird

/// The gateway's routes over its dependencies. Each group of routes has a file of its own.
struct GatewayRoutes: Sendable {
    let configuration: GatewayConfiguration
    let dependencies: GatewayDependencies
    let streamPlaces: StreamPlaces
    let serverSentEvents = ServerSentEvents()

    init(configuration: GatewayConfiguration, dependencies: GatewayDependencies) {
        self.configuration = configuration
        self.dependencies = dependencies
        streamPlaces = StreamPlaces(limit: configuration.maxStreams, registry: dependencies.registry)
    }

    /// The whole table.
    var table: [GatewayRoute] {
        [
            GatewayRoute(.get, "/metrics", metrics),
            GatewayRoute(.get, "/health", health),
            GatewayRoute(.get, "/livez", live),
            GatewayRoute(.get, "/readyz", ready),
            GatewayRoute(.post, "/queue/submit", submit),
            GatewayRoute(.get, "/queue/status", queueStatus),
            GatewayRoute(.get, "/slurm/status/{id}", slurmStatus),
            GatewayRoute(.get, "/v1/jobs", jobs),
            GatewayRoute(.get, "/v1/jobs/{id}", job),
            GatewayRoute(.get, "/v1/jobs/{id}/logs", logs),
            GatewayRoute(.get, "/v1/events", events),
            GatewayRoute(.get, "/v1/overview", overview),
            GatewayRoute(.get, "/", statusPage),
        ]
    }

    func router() -> Router<GatewayContext> {
        let table = self.table
        let router = Router(context: GatewayContext.self, options: .autoGenerateHeadEndpoints)
        router.add(middleware: RequestMetrics(dependencies.registry))
        router.add(middleware: RefusalMiddleware(unknownRoute: UnknownRoute(table)))
        router.add(
            middleware: BrowserGuardMiddleware(browserGuard: BrowserGuard(isLoopback: configuration.isLoopback)))
        if let access = configuration.access {
            router.add(middleware: AccessMiddleware(access: access, isEncrypted: configuration.tls != nil))
        }
        for route in table { router.on(RouterPath(route.path), method: route.method, use: route.answer) }
        return router
    }
}
