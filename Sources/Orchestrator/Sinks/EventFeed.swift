/// What a sink's runner needs of the ledger.
public struct EventFeed: Sendable {
    /// Events after a sequence, oldest first; throws `outOfRange` when they are no longer kept.
    public var events: @Sendable (_ after: UInt64, _ limit: Int) async throws -> [Event]
    public var lastSequence: @Sendable () -> UInt64
    /// Has the closure called after each commit; the result takes it away again.
    public var follow: @Sendable (_ wake: @escaping @Sendable () -> Void) -> @Sendable () -> Void
    public var cursor: @Sendable (_ sink: String) -> UInt64?
    public var saveCursor: @Sendable (_ sink: String, _ sequence: UInt64) -> Void
    /// Has the retention wait for the sink.
    public var wait: @Sendable (_ sink: String) -> Void

    public init(
        events: @escaping @Sendable (_ after: UInt64, _ limit: Int) async throws -> [Event],
        lastSequence: @escaping @Sendable () -> UInt64,
        follow: @escaping @Sendable (_ wake: @escaping @Sendable () -> Void) -> @Sendable () -> Void,
        cursor: @escaping @Sendable (_ sink: String) -> UInt64?,
        saveCursor: @escaping @Sendable (_ sink: String, _ sequence: UInt64) -> Void,
        wait: @escaping @Sendable (_ sink: String) -> Void = { _ in }
    ) {
        self.events = events
        self.lastSequence = lastSequence
        self.follow = follow
        self.cursor = cursor
        self.saveCursor = saveCursor
        self.wait = wait
    }
}

extension EventFeed {
    /// The ledger's own log, and its cursors.
    public init(_ ledger: Ledger) {
        self.init(
            events: { try await ledger.events.events(after: $0, limit: $1) },
            lastSequence: { ledger.events.lastSequence },
            follow: { wake in
                let token = ledger.events.addWaker(wake)
                return { ledger.events.removeWaker(token) }
            },
            cursor: { ledger.cursor($0) },
            saveCursor: { ledger.saveCursor($0, $1) }, wait: { ledger.waitForSink($0) })
    }
}
