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
            GatewayRoute(.post, "/queue/submit", submit),
            GatewayRoute(.get, "/queue/status", queueStatus),
            GatewayRoute(.get, "/slurm/status/{id}", slurmStatus),
            GatewayRoute(.get, "/v1/jobs", jobs),
            GatewayRoute(.post, "/v1/jobs", submitJobs),
            GatewayRoute(.get, "/v1/jobs/{id}", job),
            GatewayRoute(.post, "/v1/jobs/{id}/cancel", cancel),
            GatewayRoute(.post, "/v1/jobs/{id}/requeue", requeue),
            GatewayRoute(.get, "/v1/jobs/{id}/logs", logs),
            GatewayRoute(.get, "/v1/events", events),
            GatewayRoute(.get, "/v1/overview", overview),
            GatewayRoute(.get, "/", statusPage),
        ]
            + HealthRoutes(
                version: dependencies.version, uptime: dependencies.uptime, isDraining: dependencies.isDraining,
                health: dependencies.health
            ).table
    }

    func router() -> Router<GatewayContext> {
        GatewayRoute.router(table, configuration: configuration, registry: dependencies.registry)
    }
}
