import HTTPTypes
import Hummingbird
import Orchestrator

/// Counts and times the gateway's own requests, by the route's pattern and never by the path a client made up.
struct RequestMetrics: RouterMiddleware {
    private let requests: InstrumentFamily<Counter>
    private let seconds: InstrumentFamily<Histogram>
    private let clock = ContinuousClock()

    init(_ registry: MetricsRegistry) {
        requests = registry.counter(
            "gateway_requests_total", help: "HTTP requests answered, by route and status.",
            labels: ["method", "route", "code"], limit: 200)
        seconds = registry.histogram(
            "gateway_request_seconds", help: "Time to answer an HTTP request, in seconds.", labels: ["route"],
            buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10], limit: 50)
    }

    func handle(
        _ request: Request, context: GatewayContext,
        next: (Request, GatewayContext) async throws -> Response
    ) async throws -> Response {
        let start = clock.now
        let response = try await next(request, context)
        let route = context.endpointPath.flatMap { $0 == "NotFound" ? nil : $0 } ?? "other"
        // A method is the client's word too.
        let method = ["GET", "HEAD", "POST"].contains(request.method.rawValue) ? request.method.rawValue : "other"
        requests[method, route, String(response.status.code)].increment()
        seconds[route].observe((clock.now - start).inSeconds)
        return response
    }
}
