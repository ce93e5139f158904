import NIOCore

/// How many PINGs are too many (gRFC A8): each that comes sooner after the last than is allowed is a strike. What the
/// server sends of its own forgets them, for clients measure the line's bandwidth with PINGs while data comes.
struct PingPolicy: Sendable {
    private let interval: TimeAmount
    private let intervalWithoutCalls: TimeAmount
    private let allowedStrikes: Int
    private var last: NIODeadline?
    private var strikes = 0
    /// Bytes of answers to PINGs that have not been sent.
    private var owed = 0

    /// A PING and its answer (RFC 9113 §6.7).
    private static let frameLength = 17
    /// A client's clock and the way here may make ten seconds a little less.
    private static let tolerance = 0.9
    private static let withoutCalls = TimeAmount.hours(2)

    init(_ lifetime: ConnectionLifetime) {
        interval = TimeAmount(lifetime.minimumPingInterval, times: Self.tolerance)
        intervalWithoutCalls = lifetime.permitsPingsWithoutCalls ? interval : Self.withoutCalls
        allowedStrikes = lifetime.pingStrikes
    }

    /// - Returns: whether they are too many now.
    mutating func received(_ pings: Int, hasCalls: Bool, at now: NIODeadline) -> Bool {
        guard pings > 0 else { return false }
        owed += pings * Self.frameLength
        let interval = hasCalls ? interval : intervalWithoutCalls
        guard interval > .zero else { return false }
        let first = last.map { now - $0 < interval } ?? false
        strikes += pings - (first ? 0 : 1)
        last = now
        return strikes > allowedStrikes
    }

    mutating func sent(_ bytes: Int) {
        let answers = min(owed, bytes)
        owed -= answers
        guard bytes > answers else { return }
        last = nil
        strikes = 0
    }
}

extension TimeAmount {
    /// At most a year, so that adding it to a moment can't overflow.
    init(_ duration: Duration, times factor: Double = 1) {
        let (seconds, attoseconds) = duration.components
        let total = (Double(seconds) + Double(attoseconds) / 1e18) * factor
        self = .nanoseconds(Int64(min(max(total, 0), 365 * 86_400) * 1e9))
    }
}
