/// One class's numbers since the server started, for the RPC's GetMetrics.
public struct ClassStats: Sendable, Equatable {
    public var jobClass: JobClass
    public var submitted: UInt64 = 0
    public var succeeded: UInt64 = 0
    public var failed: UInt64 = 0
    public var cancelled: UInt64 = 0
    /// Attempts that failed, retried ones among them.
    public var errors: [FailureReason: UInt64] = [:]
    /// Of the run time of attempts, in seconds; 0 when none has ended.
    public var p50Seconds = 0.0
    public var p95Seconds = 0.0
    public var p99Seconds = 0.0
    /// Jobs waiting now.
    public var queueDepth: UInt64 = 0
    /// Jobs running now.
    public var inflight: UInt64 = 0
    public var concurrencyLimit: UInt64 = 0

    public init(jobClass: JobClass) { self.jobClass = jobClass }
}
