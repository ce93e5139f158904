import Orchestrator
import RPCServer

/// The engine's connections as metrics: how many, and why they ended. A reason that is an attack stands out here first.
public enum ConnectionMetrics {
    public static func families(_ statistics: ConnectionStatistics) -> [MetricFamily] {
        [
            MetricFamily(
                name: "grpc_server_connections_accepted_total", help: "Connections accepted.", kind: .counter,
                value: Double(statistics.accepted)),
            MetricFamily(
                name: "grpc_server_connections_open", help: "Connections open now.", kind: .gauge,
                value: Double(statistics.open)),
            MetricFamily(
                name: "grpc_server_connections_ended_total", help: "Connections that the server ended, by reason.",
                kind: .counter,
                samples: ConnectionEnd.allCases.map { reason in
                    MetricSample(
                        labels: [MetricLabel("reason", reason.rawValue)],
                        value: .number(Double(statistics.ended[reason] ?? 0)))
                }),
            MetricFamily(
                name: "grpc_server_limits_reached_total",
                help: "Times that a peer ran into a limit and kept its connection, by limit.", kind: .counter,
                samples: LimitReached.allCases.map { limit in
                    MetricSample(
                        labels: [MetricLabel("limit", limit.label)],
                        value: .number(Double(statistics.reached[limit] ?? 0)))
                }),
        ]
    }
}
