import NIOCore

/// So many at once, and so many each second after.
struct TokenBucket: Sendable {
    private let burst: Double
    private let perNanosecond: Double
    private var left: Double
    private var countedAt: NIODeadline

    init(burst: UInt32, perSecond: UInt32, at now: NIODeadline) {
        self.burst = Double(burst)
        perNanosecond = Double(perSecond) / 1e9
        left = Double(burst)
        countedAt = now
    }

    /// Whether there were as many. When not, the bucket is empty.
    mutating func take(_ count: Int, at now: NIODeadline) -> Bool {
        if now > countedAt {
            left = min(burst, left + Double((now - countedAt).nanoseconds) * perNanosecond)
            countedAt = now
        }
        left -= Double(count)
        guard left < 0 else { return true }
        left = 0
        return false
    }

    mutating func earn(_ count: Double) { left = min(burst, left + count) }
}
