/// A place outside the server that is told every event: a file, a topic, an HTTP service. `SinkRunner` feeds it from the
/// ledger's event log and retries; a sink only hands on, and says honestly whether that worked.
public protocol EventSink: Sendable {
    /// A word in lower case: the cursor's name in the ledger and a label in metrics. Never changes.
    var name: String { get }

    /// Events given at once, at most, when the runner's pacing does not say fewer. Default 1000.
    var batchLimit: Int { get }

    /// What `deliver` took would survive a power cut there, without a `flush`.
    var keepsAtOnce: Bool { get }

    /// Called once, before the first delivery.
    ///
    /// - Parameter trouble: to be called with a line for people when a delivery meets an obstacle that the sink itself
    ///   waits out; a delivery that throws says it by that.
    func begin(_ trouble: @escaping @Sendable (String) -> Void) async

    /// Takes events, in sequence order: all of them, or the first ones. Those not taken are given again, and so are all
    /// when it throws: a sink that took some and then throws accepts that they come twice.
    func deliver(_ events: [Event]) async throws -> Delivery

    /// Returns once everything delivered so far would survive a power cut there. The cursor moves only after it.
    func flush() async throws

    /// The last event that is there already, when the sink can tell: it may be ahead of the cursor after a crash. Called
    /// once, before the first delivery.
    ///
    /// - Parameter lookup: the event with a sequence as the ledger has it, to tell this ledger's events from another's.
    func lastDelivered(_ lookup: (UInt64) async throws -> Event?) async throws -> UInt64?

    /// Gives back what it holds, after the last delivery.
    func close() async
}

extension EventSink {
    public var batchLimit: Int { 1000 }
    public var keepsAtOnce: Bool { false }
    public func begin(_ trouble: @escaping @Sendable (String) -> Void) async {}
    public func flush() async throws {}
    public func lastDelivered(_ lookup: (UInt64) async throws -> Event?) async throws -> UInt64? { nil }
    public func close() async {}
}

/// What became of events that a sink was given.
public struct Delivery: Sendable, Equatable {
    /// How many of them, from the first on, need not be given again: at least one. Refused ones are among them.
    public var taken: Int
    public var refusals: [SinkRefusal]

    public init(taken: Int, refusals: [SinkRefusal] = []) {
        self.taken = taken
        self.refusals = refusals
    }
}

/// An event that a sink will not take however often it is given.
public struct SinkRefusal: Sendable, Equatable {
    /// A label in metrics.
    public enum Reason: String, Sendable, CaseIterable {
        /// Not what the other side accepts.
        case invalid
        case tooLarge = "too_large"
        /// The other side says that it has it already.
        case duplicate
        /// The other side answers other requests, and failed at this one again and again.
        case failing
    }

    public var sequence: UInt64
    public var reason: Reason
    /// The other side's words, for people.
    public var detail: String

    public init(sequence: UInt64, reason: Reason, detail: String) {
        self.sequence = sequence
        self.reason = reason
        self.detail = detail
    }
}
