extension RetryPolicy {
    static let defaultInitialBackoff = Duration.seconds(1)
    static let defaultMaxBackoff = Duration.seconds(300)

    /// The wait before the next attempt after `failures` of them (from 1): doubling, ±20 % by `jitter` (0 up to 1), and
    /// never more than `maxBackoff`.
    func backoff(failures: UInt32, jitter: Double) -> Duration {
        let initial = Double((initialBackoff ?? Self.defaultInitialBackoff).nanoseconds)
        let longest = Double((maxBackoff ?? Self.defaultMaxBackoff).nanoseconds)
        // 2^63 ns is already longer than any allowed back-off.
        var wait = initial
        for _ in 0..<min(Int(max(failures, 1)) - 1, 63) { wait *= 2 }
        wait = min(wait, longest) * (0.8 + 0.4 * jitter)
        return .nanoseconds(Int64(min(wait, longest).rounded()))
    }

    /// Whether an attempt that failed for `reason` is followed by another, `attempts` having run so far.
    func retries(after reason: FailureReason, attempts: UInt32) -> Bool {
        guard attempts < maxAttempts else { return false }
        return retryOn.isEmpty ? reason.isRetriedByDefault : retryOn.contains(reason.rawValue)
    }
}
