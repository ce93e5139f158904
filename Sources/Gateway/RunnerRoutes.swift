import HTTPTypes
import Hummingbird
import Orchestrator

/// The routes of a runner of its own: numbers and probes, nothing that changes anything.
struct RunnerRoutes: Sendable {
    let dependencies: RunnerDependencies

    var table: [GatewayRoute] {
        [GatewayRoute(.get, "/metrics", metrics), GatewayRoute(.get, "/prometheus", prometheus)]
            + HealthRoutes(
                version: dependencies.version, uptime: dependencies.uptime, isDraining: dependencies.isDraining,
                health: dependencies.health
            ).table
    }

    func router(_ configuration: GatewayConfiguration) -> Router<GatewayContext> {
        GatewayRoute.router(table, configuration: configuration, registry: dependencies.registry)
    }

    /// `GET /metrics`: JSON. What can't be measured is null.
    @Sendable func metrics(_ request: Request, _ context: GatewayContext) async throws -> Response {
        guard dependencies.isMetricsEnabled else { return Self.switchedOff }
        let summary = dependencies.summary()
        return .json { json in
            json.object { json in
                json.key("tasks_processed")
                json.integer(summary.processed.values.reduce(0, +))
                json.key("queue_depth")
                json.integer(summary.queueDepth)
                json.key("gpu_utilization")
                json.numberOrNull(summary.gpuUtilization)
                json.key("latency_p95_ms")
                json.numberOrNull(summary.p95Seconds.map { $0 * 1000 })
                json.key("avg_duration_ms")
                json.numberOrNull(summary.averageSeconds.map { $0 * 1000 })
                json.key("total_errors")
                json.integer(summary.errors.values.reduce(0) { $0 + $1.values.reduce(0, +) })
                json.key("errors_by_class")
                json.byClass(summary.errors) { json, errors in json.integer(errors.values.reduce(0, +)) }
                json.key("errors_by_reason")
                json.byClass(summary.errors) { json, errors in
                    json.object { json in
                        for (reason, count) in errors.sorted(by: { $0.key.word < $1.key.word }) {
                            json.key(reason.word)
                            json.integer(count)
                        }
                    }
                }
                json.key("processed_by_class")
                json.byClass(summary.processed) { json, count in json.integer(count) }
                json.key("uptime_seconds")
                json.number(dependencies.uptime().inSeconds)
            }
        }
    }

    /// `GET /prometheus`: every number, in the format the scraper asks for.
    @Sendable func prometheus(_ request: Request, _ context: GatewayContext) async throws -> Response {
        guard dependencies.isMetricsEnabled else { return Self.switchedOff }
        let format = ExpositionFormat.negotiated(accept: request.headers[.accept])
        return .text(Exposition.render(dependencies.registry.snapshot(), as: format), type: format.contentType)
    }

    private static var switchedOff: Response {
        .refusal(.notFound, "metrics are switched off; start the runner with METRICS_ENABLED=true")
    }
}

extension JSONWriter {
    fileprivate mutating func numberOrNull(_ number: Double?) {
        if let number { self.number(number) } else { raw(Array("null".utf8)) }
    }

    fileprivate mutating func byClass<Value>(
        _ values: [JobClass: Value], _ write: (inout JSONWriter, Value) -> Void
    ) {
        object { json in
            for jobClass in JobClass.allCases {
                guard let value = values[jobClass] else { continue }
                json.key(jobClass.word)
                write(&json, value)
            }
        }
    }
}
