/// A subscriber that wants events in an encoding of its own, piece by piece: a place in the log, and at most one piece in
/// memory. Newer events come from memory, older ones from the database.
public actor EventFollower {
    public enum Outcome: Sendable, Equatable {
        /// Whole events, one behind the other.
        case events([UInt8])
        /// Nothing until the deadline, or somebody called `wake`.
        case quiet
        /// Every listed job has had its terminal event.
        case ended
    }

    public struct Encoding: Sendable {
        /// Of an event that many subscribers are at.
        var recent: @Sendable (Event) -> [UInt8]
        /// Of one from the database.
        var old: @Sendable (Event) -> [UInt8]

        public init(recent: @escaping @Sendable (Event) -> [UInt8], old: @escaping @Sendable (Event) -> [UInt8]) {
            self.recent = recent
            self.old = old
        }
    }

    /// Bytes of one piece, but for its last event. Events looked at for one, so that a rare filter yields now and then.
    static let pieceBytes = 32 << 10
    static let pieceEvents = 1_024

    private let log: EventLog
    private let filter: EventFilter
    private let encoding: Encoding
    private var cursor: UInt64
    private let place: StreamPlaces.Place
    private var awaited: AwaitedEnds?
    private let waker: WakerToken
    private var news: AsyncStream<Void>.AsyncIterator
    private nonisolated let newsContinuation: AsyncStream<Void>.Continuation

    init(log: EventLog, _ subscription: EventSubscription, encoding: Encoding) {
        self.log = log
        self.encoding = encoding
        filter = subscription.filter
        cursor = subscription.after
        place = log.places.enter(at: subscription.after)
        awaited = subscription.awaited
        let (news, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        self.news = news.makeAsyncIterator()
        newsContinuation = continuation
        waker = log.addWaker { continuation.yield() }
    }

    deinit { log.removeWaker(waker) }

    /// Whether every listed job has had its terminal event before the first piece.
    public var hasEnded: Bool { awaited?.isEmpty == true }

    /// Lets a `next` that waits answer `.quiet`.
    public nonisolated func wake() { newsContinuation.yield() }

    /// - Throws: `outOfRange` when retention overtook the cursor; `unavailable` when the database can't be read;
    ///   `CancellationError`.
    public func next(until deadline: ContinuousClock.Instant) async throws -> Outcome {
        defer { place.move(to: cursor) }
        while true {
            try Task.checkCancellation()
            if hasEnded { return .ended }
            let before = cursor
            let piece = try await piece()
            if !piece.isEmpty { return .events(piece) }
            if cursor > before { continue }
            if ContinuousClock.now >= deadline { return .quiet }
            await wait(until: deadline)
            if cursor >= log.lastSequence { return .quiet }
        }
    }

    private func piece() async throws -> [UInt8] {
        var bytes: [UInt8] = []
        if let events = log.recentEvents(after: cursor, limit: Self.pieceEvents) {
            for event in events where bytes.count < Self.pieceBytes {
                if filter.admits(type: event.type, jobID: event.jobID) { bytes += encoding.recent(event) }
                if pass(event.sequence, event.type, event.jobID) { break }
            }
            return bytes
        }
        let page = try await log.page(
            after: cursor, filter: filter, maxBytes: Self.pieceBytes, encode: encoding.old)
        for record in page.records {
            if filter.admits(type: record.type, jobID: record.jobID) { bytes += record.image }
            if pass(record.sequence, record.type, record.jobID) { return bytes }
        }
        cursor = max(cursor, page.through)
        return bytes
    }

    /// - Returns: whether that was the last one wanted.
    private func pass(_ sequence: UInt64, _ type: EventType, _ jobID: String) -> Bool {
        cursor = sequence
        if type.isTerminal { awaited?.ended(jobID, at: sequence) }
        return hasEnded
    }

    private func wait(until deadline: ContinuousClock.Instant) async {
        let alarm = Task { [newsContinuation] in
            try await Task.sleep(until: deadline, clock: .continuous)
            newsContinuation.yield()
        }
        var waiting = news
        await waiting.next(isolation: self)
        news = waiting
        alarm.cancel()
    }
}
