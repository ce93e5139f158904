import Orchestrator

/// Everything the routes of a runner of its own need from the rest of it.
public struct RunnerDependencies: Sendable {
    public var version: String
    public var uptime: @Sendable () -> Duration
    public var registry: MetricsRegistry
    /// false answers 404 on `/metrics` and `/prometheus`.
    public var isMetricsEnabled: Bool
    /// True from the moment the runner was asked to stop.
    public var isDraining: @Sendable () -> Bool
    /// Called for each probe; must answer at once, from what is known.
    public var health: @Sendable () async -> [HealthCheck]
    public var summary: @Sendable () -> RunnerMetrics.Summary

    public init(
        version: String, uptime: @escaping @Sendable () -> Duration, registry: MetricsRegistry,
        isMetricsEnabled: Bool = true, isDraining: @escaping @Sendable () -> Bool,
        health: @escaping @Sendable () async -> [HealthCheck],
        summary: @escaping @Sendable () -> RunnerMetrics.Summary
    ) {
        self.version = version
        self.uptime = uptime
        self.registry = registry
        self.isMetricsEnabled = isMetricsEnabled
        self.isDraining = isDraining
        self.health = health
        self.summary = summary
    }
}
