/// Which events a subscriber wants, and from where.
public struct EventRequest: Sendable, Equatable {
    /// Sequence of the last event not wanted; 0 is from the oldest kept.
    public var after: UInt64
    public var filter: EventFilter
    /// Only events from now on; `after` must then be 0.
    public var fromNow: Bool
    /// With job ids in the filter: it ends once each of them has had its terminal event.
    public var endWhenDone: Bool

    public init(
        after: UInt64 = 0, filter: EventFilter = .all, fromNow: Bool = false, endWhenDone: Bool = false
    ) {
        self.after = after
        self.filter = filter
        self.fromNow = fromNow
        self.endWhenDone = endWhenDone
    }
}

/// A request that was checked against the log: where to begin, and what ends it.
struct EventSubscription: Sendable, Equatable {
    var after: UInt64
    var filter: EventFilter
    /// Listed jobs whose terminal event lies ahead; nil when there is no end.
    var awaited: Set<String>?
}
