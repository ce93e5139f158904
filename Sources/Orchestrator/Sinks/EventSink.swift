/// A place outside the server that is told every event: a file, a topic, an HTTP service. `SinkRunner` feeds it from the
/// ledger's event log and retries; a sink only hands on, and says honestly whether that worked.
public protocol EventSink: Sendable {
    /// A word in lower case: the cursor's name in the ledger and a label in metrics. Never changes.
    var name: String { get }

    /// Takes events, in sequence order. When it throws, all of them are given again later: a sink that took some of them
    /// leaves none behind or accepts that they come twice.
    func deliver(_ events: [Event]) async throws

    /// Returns once everything delivered so far would survive a power cut there. The cursor moves only after it.
    func flush() async throws

    /// The last event that is there already, when the sink can tell: it may be ahead of the cursor after a crash. Called
    /// once, before the first delivery.
    ///
    /// - Parameter lookup: the event with a sequence as the ledger has it, to tell this ledger's events from another's.
    func lastDelivered(_ lookup: (UInt64) async throws -> Event?) async throws -> UInt64?
}

extension EventSink {
    public func lastDelivered(_ lookup: (UInt64) async throws -> Event?) async throws -> UInt64? { nil }
}
