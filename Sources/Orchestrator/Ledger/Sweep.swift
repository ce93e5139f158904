import Dispatch
import GRDB
import Synchronization

/// What the retention has dropped next, in slices small enough that callers hardly notice. Part of the writer: it decides
/// and deletes; the attempts' files are removed on a queue of their own, before the rows that name them.
struct Sweep {
    /// Rows of one slice.
    static let eventSlice: UInt64 = 2_000
    static let jobSlice = 500
    static let pageSlice = 500
    /// Between two looks when there was nothing to do.
    static let interval = Duration.seconds(1)
    /// A slice is followed by a rest of this many times its length, so that under load the writer is mostly for callers.
    static let restFactor = 4

    struct Victim: Equatable {
        var id: String
        var mark: KeptHistory.Mark
        var hasRun: Bool
        var outputBytes: Int64
    }

    enum Step: Equatable {
        /// Events up to this sequence.
        case events(through: UInt64)
        case jobs([Victim])
        /// Attempts' directories, of jobs up to the last one's mark.
        case outputs([Victim])
        /// Unused pages of the file.
        case pages
    }

    /// What the decision depends on besides the database.
    struct Situation {
        var now: Timestamp
        var oldestSequence: UInt64
        var lastSequence: UInt64
        /// The last event that every sink has.
        var sinkFloor: UInt64?
        var kept: KeptHistory
        var isAwaited: (String) -> Bool
    }

    let retention: Retention
    /// Where the last slice of jobs ended: those that had to be kept are not looked at again in this round.
    private var jobsLookedAt = KeptHistory.Mark.start

    init(_ retention: Retention) { self.retention = retention }

    var isNeeded: Bool { retention != .everything }

    /// nil when there is nothing to drop.
    mutating func next(_ situation: Situation, in database: Database) throws -> Step? {
        let oldest = try OldestTimes(database, oldestSequence: situation.oldestSequence)
        let isTooLarge = try isTooLarge(database)
        // When the file is too large, what is older goes first: an event or a job.
        let eventsFirst = oldest.event.map { event in oldest.job.map { event <= $0 } ?? true } ?? false
        if let through = try eventsToDrop(situation, isForced: isTooLarge && eventsFirst, in: database) {
            return .events(through: through)
        }
        let outputs = try outputsToDrop(situation, in: database)
        if !outputs.isEmpty { return .outputs(outputs) }
        let jobs = try jobsToDrop(situation, oldest: oldest.job, isForced: isTooLarge, in: database)
        if !jobs.isEmpty { return .jobs(jobs) }
        if isTooLarge, let through = try eventsToDrop(situation, isForced: true, in: database) {
            return .events(through: through)
        }
        return try hasManyFreePages(database) ? .pages : nil
    }

    private struct OldestTimes {
        /// Nanoseconds since 1970; nil when there is none.
        var event: Int64?
        var job: Int64?

        init(_ database: Database, oldestSequence: UInt64) throws {
            event = try Int64.fetchOne(
                database.cachedStatement(sql: "SELECT time FROM events ORDER BY sequence LIMIT 1"))
            job = try Int64.fetchOne(
                database.cachedStatement(
                    sql: "SELECT finished_at FROM jobs WHERE state >= 4 ORDER BY finished_at LIMIT 1"))
        }
    }

    private static func cutoff(_ age: Duration?, now: Timestamp) -> Int64 {
        age.map { now.nanoseconds.subtractingReportingOverflow($0.nanoseconds).partialValue } ?? .min
    }

    // MARK: Events

    private func eventsToDrop(_ situation: Situation, isForced: Bool, in database: Database) throws -> UInt64? {
        let (oldest, last) = (situation.oldestSequence, situation.lastSequence)
        guard last > oldest else { return nil }
        let end = min(oldest + Self.eventSlice - 1, last - 1)
        if isForced { return end }

        var through: UInt64 = 0
        if let count = retention.events.count { through = last - min(last, UInt64(max(count, 1))) }
        if retention.events.age != nil {
            let young = try Int64.fetchOne(
                database.cachedStatement(
                    sql: "SELECT sequence FROM events WHERE sequence >= ? AND sequence <= ? AND time >= ? LIMIT 1"),
                arguments: [
                    Int64(clamping: oldest), Int64(clamping: end),
                    Self.cutoff(retention.events.age, now: situation.now),
                ])
            through = max(through, young.map { UInt64($0) - 1 } ?? end)
        }
        through = min(through, end, situation.sinkFloor ?? .max)
        return through >= oldest ? through : nil
    }

    // MARK: Jobs and their outputs

    private static func victims(
        after mark: KeptHistory.Mark, columns: String, in database: Database
    ) throws -> RowCursor {
        try Row.fetchCursor(
            database.cachedStatement(
                sql: """
                    SELECT id, finished_at, number, attempt, output_bytes, \(columns) FROM jobs
                    WHERE state >= 4 AND finished_at >= ? AND (finished_at > ? OR number > ?)
                    ORDER BY finished_at, number LIMIT \(jobSlice)
                    """),
            arguments: [mark.finishedAt, mark.finishedAt, mark.number])
    }

    private static func victim(_ row: Row) -> Victim {
        Victim(
            id: row[0], mark: KeptHistory.Mark(finishedAt: row[1], number: row[2]), hasRun: (row[3] as Int64) > 0,
            outputBytes: row[4])
    }

    private func outputsToDrop(_ situation: Situation, in database: Database) throws -> [Victim] {
        var size = situation.kept.size
        let cutoff = Self.cutoff(retention.outputs.age, now: situation.now)
        func isTooMuch() -> Bool {
            retention.outputs.count.map { size.outputs > $0 } ?? false
                || retention.outputBytes.map { size.outputBytes > $0 } ?? false
        }
        guard isTooMuch() || retention.outputs.age != nil else { return [] }
        var found: [Victim] = []
        let rows = try Self.victims(after: situation.kept.outputsThrough, columns: "0", in: database)
        while let row = try rows.next() {
            let victim = Self.victim(row)
            guard isTooMuch() || victim.mark.finishedAt < cutoff else { break }
            found.append(victim)
            if victim.hasRun {
                size.outputs -= 1
                size.outputBytes -= victim.outputBytes
            }
        }
        return found
    }

    private mutating func jobsToDrop(
        _ situation: Situation, oldest: Int64?, isForced: Bool, in database: Database
    ) throws -> [Victim] {
        let cutoff = Self.cutoff(retention.jobs.age, now: situation.now)
        var excess = retention.jobs.count.map { situation.kept.size.endedJobs - $0 } ?? 0
        guard isForced || excess > 0 || (oldest ?? .max) < cutoff else { return [] }
        let floor = situation.sinkFloor ?? .max
        var found: [Victim] = []
        // A few slices at most, in case all of one has to be kept.
        for _ in 0..<10 where found.isEmpty {
            var looked = 0
            let rows = try Self.victims(after: jobsLookedAt, columns: "last_sequence", in: database)
            while let row = try rows.next() {
                let victim = Self.victim(row)
                guard isForced || excess > 0 || victim.mark.finishedAt < cutoff else { break }
                looked += 1
                jobsLookedAt = victim.mark
                excess -= 1
                let isTaken = UInt64(bitPattern: row[5] as Int64) <= floor
                if (isTaken || isForced) && !situation.isAwaited(victim.id) { found.append(victim) }
            }
            if looked < Self.jobSlice {
                // The round is over; what had to be kept may go in the next.
                jobsLookedAt = .start
                break
            }
        }
        return found
    }

    // MARK: The file

    private func isTooLarge(_ database: Database) throws -> Bool {
        guard let limit = retention.ledgerBytes else { return false }
        let (pages, free) = try Self.pages(database)
        let pageSize = try Int64.fetchOne(database, sql: "PRAGMA page_size") ?? 0
        return (pages - free) * pageSize > limit
    }

    /// Whether a quarter of the file and more than 4 MiB are unused, and can be given back.
    private func hasManyFreePages(_ database: Database) throws -> Bool {
        let (pages, free) = try Self.pages(database)
        guard free > 1_024, free > pages / 4 else { return false }
        return try Int.fetchOne(database, sql: "PRAGMA auto_vacuum") == 2
    }

    private static func pages(_ database: Database) throws -> (all: Int64, free: Int64) {
        (
            try Int64.fetchOne(database, sql: "PRAGMA page_count") ?? 0,
            try Int64.fetchOne(database, sql: "PRAGMA freelist_count") ?? 0
        )
    }
}

/// The removal of attempts' directories, off the writer's thread.
final class OutputRemoval: Sendable {
    private let isOver = Mutex(false)

    init(of ids: [String], _ remove: @escaping @Sendable ([String]) -> Void, then: @escaping @Sendable () -> Void) {
        DispatchQueue.global(qos: .utility).async { [self] in
            remove(ids)
            isOver.withLock { $0 = true }
            then()
        }
    }

    var isDone: Bool { isOver.withLock { $0 } }
}
