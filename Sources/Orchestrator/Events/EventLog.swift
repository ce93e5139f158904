import DequeModule
import GRDB
import Synchronization

/// Everything that happened, in sequence order: the newest events in memory, all of them in the database. Written only by
/// the ledger's writer.
public final class EventLog: Sendable {
    /// Rows of history looked at for one page, at most, so that a rare filter can't hold a database reader for long.
    static let rowsScanned: UInt64 = 50_000
    static let rowsRead = 2_000
    /// More than these, and SQLite looks through the rows rather than for each job.
    private static let jobsLookedFor = 1_000
    /// Newest events kept as values, for the sinks: whichever limit comes first, that of the ring among them.
    static let recentEvents = 4_096
    static let recentBytes = 16 << 20

    let ring: EventRing
    /// Of the subscribers.
    public let places = StreamPlaces()
    private let wakers = Wakers()
    /// With the bytes of their data.
    private let maxRecent: Int
    private let recent = Mutex<(events: Deque<Event>, bytes: Int)>(([], 0))
    private let database: DatabasePool
    private let encode: @Sendable (Event) -> [UInt8]

    private let oldest: Atomic<UInt64>

    /// The oldest event kept; 1 when there is none yet. Moves on with the retention.
    public var oldestSequence: UInt64 { oldest.load(ordering: .acquiring) }

    init(
        database: DatabasePool, configuration: Ledger.Configuration, oldest: UInt64, newest: [Event],
        lastSequence: UInt64, encode: @escaping @Sendable (Event) -> [UInt8]
    ) {
        self.database = database
        self.encode = encode
        self.oldest = Atomic(oldest)
        maxRecent = min(Self.recentEvents, configuration.ringEvents)
        ring = EventRing(
            maxEvents: configuration.ringEvents, maxBytes: configuration.ringBytes,
            lastSequence: newest.first.map { $0.sequence - 1 } ?? lastSequence)
        append(newest)
    }

    /// Of the newest event that is durable and can be read; 0 when there is none.
    public var lastSequence: UInt64 { ring.lastSequence }

    /// `waker` is called once after each transaction that has events, on the ledger's writer: it must only pass the news
    /// on.
    public func addWaker(_ waker: @escaping @Sendable () -> Void) -> WakerToken { wakers.add(waker) }

    public func removeWaker(_ token: WakerToken) { wakers.remove(token) }

    // MARK: The writer's side

    func append(_ events: [Event]) {
        ring.append(events, encode: encode)
        recent.withLock { recent in
            for event in events {
                recent.events.append(event)
                recent.bytes += event.data.count
            }
            while recent.events.count > maxRecent || recent.bytes > Self.recentBytes {
                guard let oldest = recent.events.popFirst() else { break }
                recent.bytes -= oldest.data.count
            }
        }
    }

    /// Older ones are gone from the database. Encoded ones in the ring go when their turn comes.
    func trimmed(oldest sequence: UInt64) {
        oldest.store(sequence, ordering: .releasing)
        recent.withLock { recent in
            while let oldest = recent.events.first, oldest.sequence < sequence {
                recent.events.removeFirst()
                recent.bytes -= oldest.data.count
            }
        }
    }

    func wakeAll() { wakers.wakeAll() }

    // MARK: Readers

    /// Events after `after` that are in memory, oldest first; nil when the next one is older than those.
    func recentEvents(after: UInt64, limit: Int) -> [Event]? {
        if after >= lastSequence || limit <= 0 { return [] }
        return recent.withLock { recent -> [Event]? in
            guard let oldest = recent.events.first?.sequence, after + 1 >= oldest else { return nil }
            return Array(recent.events.dropFirst(Int(after + 1 - oldest)).prefix(limit))
        }
    }

    /// Events after `after`, oldest first, for those that want values rather than bytes.
    ///
    /// - Parameter limit: events, at most.
    /// - Throws: `outOfRange` when the one after `after` is no longer kept; `unavailable` when the database can't be read.
    public func events(after: UInt64, limit: Int) async throws -> [Event] {
        if let recent = recentEvents(after: after, limit: limit) { return recent }
        return try await read { database in
            try Self.checkKept(after, in: database)
            let statement = try database.cachedStatement(
                sql: EventRow.selectSQL + " WHERE sequence > ? ORDER BY sequence LIMIT ?")
            return try Row.fetchAll(statement, arguments: [Int64(clamping: after), limit]).map {
                try EventRow.event($0)
            }
        }
    }

    /// The next events after `after` from the database, encoded: what a reader wants that answered `.needsHistory`. It
    /// may be empty and still advance the cursor.
    ///
    /// - Parameter maxBytes: of images; one event is always taken.
    /// - Throws: `outOfRange` when the one after `after` is no longer kept; `unavailable` when the database can't be read.
    public func page(after: UInt64, filter: EventFilter, maxBytes: Int) async throws -> EventPage {
        try await page(after: after, filter: filter, maxBytes: maxBytes, encode: encode)
    }

    /// The same in another encoding.
    func page(
        after: UInt64, filter: EventFilter, maxBytes: Int, encode: @escaping @Sendable (Event) -> [UInt8]
    ) async throws -> EventPage {
        return try await read { database in
            try Self.checkKept(after, in: database)
            return try Self.page(after: after, filter: filter, maxBytes: maxBytes, in: database, encode: encode)
        }
    }

    private static func page(
        after: UInt64, filter: EventFilter, maxBytes: Int, in database: Database, encode: (Event) -> [UInt8]
    ) throws -> EventPage {
        let newest = try Int64.fetchOne(database, sql: "SELECT max(sequence) FROM events") ?? 0
        var until = UInt64(newest)
        if after >= until { return EventPage(after: after, through: after, records: []) }
        var conditions = ""
        var source = "events"
        var arguments: StatementArguments = []
        if !filter.jobIDs.isEmpty {
            let ids = filter.jobIDs.sorted()
            // Of a job that is gone, too, which may have had the id of one that is there.
            let numbers = try Int64.fetchAll(
                database,
                sql: """
                    SELECT number FROM jobs WHERE id IN (\(placeholders(ids.count)))
                    UNION ALL SELECT number FROM gone WHERE job_id IN (\(placeholders(ids.count)))
                    """,
                arguments: StatementArguments(ids + ids))
            if numbers.isEmpty { return EventPage(after: after, through: until, records: []) }
            // A job has few events, whatever the log's length. One id may have been that of many jobs by now.
            if numbers.count > jobsLookedFor { until = min(until, after + rowsScanned) }
            source = "(\(EventRow.ofJobsSQL(numbers.map { String($0) }.joined(separator: ","))))"
        } else if !filter.types.isEmpty {
            until = min(until, after + rowsScanned)
        }
        if !filter.types.isEmpty {
            // Terminal events too: the reader may be waiting for them, and passes over what it does not send.
            let ends: [EventType] = filter.jobIDs.isEmpty ? [] : [.taskCompleted, .taskFailed, .taskCancelled]
            let types = filter.types.union(ends.map(\.rawValue)).sorted()
            conditions += " AND type IN (\(placeholders(types.count)))"
            arguments += StatementArguments(types)
        }
        let sql =
            EventRow.selectSQL(from: source) + " WHERE sequence > ? AND sequence <= ?" + conditions
            + " ORDER BY sequence LIMIT \(rowsRead)"
        let rows = try Row.fetchCursor(
            database, sql: sql, arguments: [Int64(clamping: after), Int64(clamping: until)] + arguments)

        var page = EventPage(after: after, through: until, records: [])
        var bytes = 0
        while let row = try rows.next() {
            let event = try EventRow.event(row)
            let image = encode(event)
            if !page.records.isEmpty, bytes + image.count > maxBytes {
                page.through = page.records[page.records.count - 1].sequence
                return page
            }
            bytes += image.count
            page.records.append(
                EventPage.Record(sequence: event.sequence, type: event.type, jobID: event.jobID, image: image))
        }
        if page.records.count == rowsRead { page.through = page.records[rowsRead - 1].sequence }
        return page
    }

    private static func placeholders(_ count: Int) -> String {
        Array(repeating: "?", count: count).joined(separator: ",")
    }

    /// Within the read itself, so that the retention can't take events between the look and the reading.
    private static func checkKept(_ after: UInt64, in database: Database) throws {
        guard after > 0 else { return }
        let oldest = try UInt64(Int64.fetchOne(database, sql: "SELECT min(sequence) FROM events") ?? 1)
        if after + 1 < oldest { throw OrchestratorError.noLongerKept(after: after, oldest: oldest) }
    }

    private func read<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        do {
            return try await database.read(body)
        } catch let error as DatabaseError {
            throw OrchestratorError(.unavailable, "the event log can't be read: \(error); retry")
                .because(.ledgerUnavailable)
        }
    }
}

extension OrchestratorError {
    static func noLongerKept(after: UInt64, oldest: UInt64) -> OrchestratorError {
        OrchestratorError(
            .outOfRange(oldest: oldest),
            "the events after \(after) are no longer kept; the oldest is \(oldest): resume with after_sequence "
                + "\(oldest - 1), or 0 for the oldest kept"
        ).because(.eventsNoLongerKept, ["oldest_sequence": "\(oldest)"])
    }
}
