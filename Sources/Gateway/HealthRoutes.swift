import HTTPTypes
import Hummingbird
import Orchestrator

/// What probes ask.
struct HealthRoutes: Sendable {
    let version: String
    let uptime: @Sendable () -> Duration
    let isDraining: @Sendable () -> Bool
    let health: @Sendable () async -> [HealthCheck]

    var table: [GatewayRoute] {
        [
            GatewayRoute(.get, "/health", summary), GatewayRoute(.get, "/livez", live),
            GatewayRoute(.get, "/readyz", ready),
        ]
    }

    /// `GET /health`: 200 also when degraded; the body says which check fails and why.
    @Sendable func summary(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let checks = await health()
        let isHealthy = checks.allSatisfy(\.isHealthy)
        return .json { json in
            json.object { json in
                json.key("status")
                json.string(isHealthy ? "healthy" : "degraded")
                json.key("version")
                json.string(version)
                json.key("uptime_seconds")
                json.number(uptime().inSeconds)
                json.key("draining")
                json.bool(isDraining())
                json.key("checks")
                json.object { json in
                    for check in checks {
                        json.key(check.name)
                        json.object { json in
                            json.key("status")
                            json.string(check.isHealthy ? "healthy" : "degraded")
                            if !check.detail.isEmpty {
                                json.key("detail")
                                json.string(check.detail)
                            }
                        }
                    }
                }
            }
        }
    }

    /// `GET /livez`: the process answers. Nothing else counts, for a restart would heal nothing else.
    @Sendable func live(_ request: Request, _ context: GatewayContext) async throws -> Response {
        probe("livez", [HealthCheck(name: "ping", isHealthy: true)], isVerbose: isVerbose(request))
    }

    /// `GET /readyz`: whether to send jobs here. 503 while draining, or when a required check fails.
    @Sendable func ready(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let draining = HealthCheck(
            name: "shutdown", isHealthy: !isDraining(), detail: "the server is stopping")
        return probe("readyz", [draining] + (await health()), isVerbose: isVerbose(request))
    }

    private func isVerbose(_ request: Request) -> Bool { request.uri.queryParameters["verbose"] != nil }

    /// In the form of Kubernetes' own health endpoints: one line a check, then the verdict.
    private func probe(_ name: String, _ checks: [HealthCheck], isVerbose: Bool) -> Response {
        let passes = checks.allSatisfy { $0.isHealthy || !$0.isRequired }
        guard isVerbose || !passes else { return .text("ok") }
        var text = ""
        for check in checks {
            if check.isHealthy {
                text += "[+]\(check.name) ok\n"
            } else {
                text += "[-]\(check.name) failed\(check.isRequired ? "" : ", not required"): \(check.detail)\n"
            }
        }
        text += passes ? "\(name) check passed\n" : "\(name) check failed\n"
        return .text(text, status: passes ? .ok : .serviceUnavailable)
    }
}
