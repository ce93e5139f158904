import Synchronization

/// How many events each caller may publish: so many a second, and what it saved up in ten seconds at once. Callers are told
/// apart by who they are, or, where nobody is asked, by their address.
final class PublishQuota: Sendable {
    /// Callers that are remembered; those that have not published for long are forgotten first.
    private static let maxCallers = 10_000

    private struct Bucket {
        var left: Double
        var countedAt: ContinuousClock.Instant
    }

    private let perSecond: Double
    private let burst: Double
    private let buckets = Mutex<[String: Bucket]>([:])

    /// - Parameter perSecond: 0 is without limit.
    init(perSecond: Int) {
        self.perSecond = Double(perSecond)
        burst = self.perSecond * 10
    }

    /// Callers remembered now.
    var callers: Int { buckets.withLock { $0.count } }

    /// nil when the caller may publish one more; else after how long it may.
    func take(_ caller: String, at now: ContinuousClock.Instant = .now) -> Duration? {
        if perSecond == 0 { return nil }
        return buckets.withLock { buckets in
            if buckets.count >= Self.maxCallers, buckets[caller] == nil { forget(&buckets, at: now) }
            var bucket = buckets[caller] ?? Bucket(left: burst, countedAt: now)
            bucket.left = left(bucket, at: now)
            bucket.countedAt = now
            let isTaken = bucket.left >= 1
            if isTaken { bucket.left -= 1 }
            buckets[caller] = bucket
            return isTaken ? nil : .seconds((1 - bucket.left) / perSecond)
        }
    }

    private func left(_ bucket: Bucket, at now: ContinuousClock.Instant) -> Double {
        let (seconds, attoseconds) = (now - bucket.countedAt).components
        return min(burst, bucket.left + (Double(seconds) + Double(attoseconds) * 1e-18) * perSecond)
    }

    /// Those that have all of theirs left are as if they had never come; if there are none, the tenth that came longest ago.
    private func forget(_ buckets: inout [String: Bucket], at now: ContinuousClock.Instant) {
        buckets = buckets.filter { left($0.value, at: now) < burst }
        guard buckets.count >= Self.maxCallers else { return }
        let oldest = buckets.sorted { $0.value.countedAt < $1.value.countedAt }.prefix(Self.maxCallers / 10)
        for (caller, _) in oldest { buckets[caller] = nil }
    }
}
