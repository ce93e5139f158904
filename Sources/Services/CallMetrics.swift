import Orchestrator
import Protocol
import RPCServer

/// The engine's counts as `grpc_server_*`, the names that go-grpc-prometheus made the field's own.
public enum CallMetrics {
    public static func families(_ statistics: [MethodStatistics]) -> [MetricFamily] {
        [
            counters(
                "grpc_server_started_total", "Calls started on the server.", statistics, value: \.started),
            counters(
                "grpc_server_msg_received_total", "Messages received of calls.", statistics, value: \.messagesReceived),
            counters("grpc_server_msg_sent_total", "Messages sent in calls.", statistics, value: \.messagesSent),
            handled(statistics),
            MetricFamily(
                name: "grpc_server_handling_seconds", help: "From a call's headers to its status, in seconds.",
                kind: .histogram,
                samples: statistics.map { method in
                    MetricSample(
                        labels: labels(method),
                        value: .histogram(
                            HistogramSnapshot(
                                bounds: MethodStatistics.handlingBounds, counts: method.handlingCounts,
                                sum: method.handlingSeconds)))
                }),
        ]
    }

    private static func counters(
        _ name: String, _ help: String, _ statistics: [MethodStatistics], value: (MethodStatistics) -> UInt64
    ) -> MetricFamily {
        MetricFamily(
            name: name, help: help, kind: .counter,
            samples: statistics.map { MetricSample(labels: labels($0), value: .number(Double(value($0)))) })
    }

    private static func handled(_ statistics: [MethodStatistics]) -> MetricFamily {
        MetricFamily(
            name: "grpc_server_handled_total", help: "Calls completed on the server, by status code.", kind: .counter,
            samples: statistics.flatMap { method in
                StatusCode.allCases.map { code in
                    MetricSample(
                        labels: labels(method) + [MetricLabel("grpc_code", code.label)],
                        value: .number(Double(method.handled[code] ?? 0)))
                }
            })
    }

    private static func labels(_ method: MethodStatistics) -> [MetricLabel] {
        [
            MetricLabel("grpc_type", method.type), MetricLabel("grpc_service", method.service),
            MetricLabel("grpc_method", method.method),
        ]
    }
}
