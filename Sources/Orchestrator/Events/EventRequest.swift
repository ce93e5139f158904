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
    /// nil when there is no end.
    var awaited: AwaitedEnds?
}

/// Listed jobs whose terminal event lies ahead.
struct AwaitedEnds: Sendable, Equatable {
    /// Sequence of the job's submission, by its id: an earlier end is that of another job, gone by now, with the same id.
    private var submissions: [String: UInt64] = [:]

    var isEmpty: Bool { submissions.isEmpty }

    mutating func add(_ jobID: String, submittedAt sequence: UInt64) { submissions[jobID] = sequence }

    mutating func ended(_ jobID: String, at sequence: UInt64) {
        if let submission = submissions[jobID], sequence > submission { submissions[jobID] = nil }
    }
}
