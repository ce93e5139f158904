import Synchronization

/// How each event sink is doing, by its name.
public final class SinkMetrics: Sendable {
    public let delivered: InstrumentFamily<Counter>
    public let errors: InstrumentFamily<Counter>
    public let lost: InstrumentFamily<Counter>
    /// Seconds since 1970; 0 before the first.
    public let lastSuccess: InstrumentFamily<Gauge>

    private let refused: InstrumentFamily<Counter>

    private let lags = Mutex<[String: @Sendable () -> UInt64]>([:])

    public init(_ registry: MetricsRegistry) {
        delivered = registry.counter(
            "orchestrator_sink_delivered_events_total", help: "Events the sink has taken.", labels: ["sink"], limit: 50)
        errors = registry.counter(
            "orchestrator_sink_errors_total", help: "Deliveries the sink refused; each is tried again.",
            labels: ["sink"], limit: 50)
        lost = registry.counter(
            "orchestrator_sink_lost_events_total",
            help: "Events that the bound on the ledger's size took before the sink had them.", labels: ["sink"],
            limit: 50)
        refused = registry.counter(
            "orchestrator_sink_refused_events_total",
            help: "Events the sink would not take however often it was given them; they were passed over.",
            labels: ["sink", "reason"], limit: 200)
        lastSuccess = registry.gauge(
            "orchestrator_sink_last_success_timestamp_seconds",
            help: "When the sink last took events, in seconds since 1970; 0 before the first.", labels: ["sink"],
            limit: 50)
        registry.collector { [self.lag()] }
    }

    /// A sink's counters of refused events, each there at zero.
    func refused(_ sink: String) -> [SinkRefusal.Reason: Counter] {
        Dictionary(uniqueKeysWithValues: SinkRefusal.Reason.allCases.map { ($0, refused[sink, $0.rawValue]) })
    }

    /// Has a sink's lag asked for at each scrape, so that it shows the truth also while the sink hangs.
    func follow(_ sink: String, lag: @escaping @Sendable () -> UInt64) { lags.withLock { $0[sink] = lag } }

    private func lag() -> MetricFamily {
        MetricFamily(
            name: "orchestrator_sink_lag_events", help: "Events the sink has not taken yet.", kind: .gauge,
            samples: lags.withLock { $0 }.sorted { $0.key < $1.key }.map { sink, lag in
                MetricSample(labels: [MetricLabel("sink", sink)], value: .number(Double(lag())))
            })
    }
}
