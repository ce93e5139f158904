import Foundation

/// A moment of the wall clock, in nanoseconds since 1970-01-01 UTC: what protobuf's Timestamp holds, and an integer in
/// SQLite. Reaches from 1677 to 2262.
public struct Timestamp: Sendable, Hashable, Comparable {
    public var nanoseconds: Int64

    public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    public static func now() -> Timestamp {
        var value = timespec()
        clock_gettime(CLOCK_REALTIME, &value)
        return Timestamp(nanoseconds: Int64(value.tv_sec) * 1_000_000_000 + Int64(value.tv_nsec))
    }

    /// A moment of a clock that nobody sets, which also counts while the machine sleeps (CLOCK_BOOTTIME): for how long to
    /// wait. Says nothing outside this process, and is never stored.
    public static func steady() -> Timestamp {
        var value = timespec()
        clock_gettime(CLOCK_BOOTTIME, &value)
        return Timestamp(nanoseconds: Int64(value.tv_sec) * 1_000_000_000 + Int64(value.tv_nsec))
    }

    /// Seconds since 1970, rounded down.
    public var seconds: Int64 {
        (nanoseconds - ((nanoseconds % 1_000_000_000) + 1_000_000_000) % 1_000_000_000) / 1_000_000_000
    }

    public func advanced(by duration: Duration) -> Timestamp {
        Timestamp(nanoseconds: nanoseconds.addingReportingOverflow(duration.nanoseconds).partialValue)
    }

    public func duration(to later: Timestamp) -> Duration { .nanoseconds(later.nanoseconds - nanoseconds) }

    public static func < (left: Timestamp, right: Timestamp) -> Bool { left.nanoseconds < right.nanoseconds }
}

extension Duration {
    /// The whole duration in nanoseconds; longer than 292 years is cut to that.
    public var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return seconds < 0 ? .min : .max }
        let (sum, overflowed) = product.addingReportingOverflow(attoseconds / 1_000_000_000)
        return overflowed ? (seconds < 0 ? .min : .max) : sum
    }

    public var inSeconds: Double { Double(nanoseconds) / 1e9 }
}
