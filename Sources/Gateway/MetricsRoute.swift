import HTTPTypes
import Hummingbird
import Orchestrator

extension GatewayRoutes {
    /// `GET /metrics`: every number, in the format the scraper asks for.
    @Sendable func metrics(_ request: Request, _ context: GatewayContext) async throws -> Response {
        guard dependencies.isMetricsEnabled else {
            return .refusal(.notFound, "metrics are switched off; start the server with METRICS_ENABLED=true")
        }
        let format = ExpositionFormat.negotiated(accept: request.headers[.accept])
        return .text(Exposition.render(dependencies.registry.snapshot(), as: format), type: format.contentType)
    }
}
