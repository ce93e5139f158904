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
        ]
    }
}
