import Foundation
import GRDB

/// Opens `ledger.sqlite` and reads what the ledger starts from.
struct LedgerStore {
    let database: DatabasePool
    let path: String

    /// - Throws: `failedPrecondition` with the way out, when the file is not a ledger of this program's.
    init(_ configuration: Ledger.Configuration) throws(OrchestratorError) {
        path = configuration.directory + "/ledger.sqlite"
        do {
            database = try Self.open(path, configuration)
        } catch let error as OrchestratorError {
            throw error
        } catch {
            throw Self.unusable(path, error)
        }
    }

    /// One line with the way out.
    private static func unusable(_ path: String, _ error: any Error) -> OrchestratorError {
        let why = (error as? DatabaseError)?.line ?? "\(error)"
        let what: String
        switch (error as? DatabaseError)?.resultCode {
        case .SQLITE_IOERR, .SQLITE_FULL, .SQLITE_READONLY, .SQLITE_CANTOPEN:
            what = "can't be read or written: \(why); check the disk and its room, then start again"
        case .SQLITE_CORRUPT, .SQLITE_NOTADB:
            what =
                "is damaged: \(why); restore it from a backup, or save what can be read with `sqlite3 \(path) .recover "
                + "| sqlite3 recovered.sqlite`, or move it away, with its -wal and -shm, to start empty"
        default:
            what = "can't be opened: \(why); restore it from a backup, or move it away to start empty"
        }
        return OrchestratorError(.failedPrecondition, "the ledger \(path) \(what)")
    }

    private static func open(_ path: String, _ configuration: Ledger.Configuration) throws -> DatabasePool {
        var options = GRDB.Configuration()
        options.label = "ledger"
        options.maximumReaderCount = 4
        options.busyMode = .timeout(5)
        // Before the first table: an older file keeps its size, and its free pages are used again.
        options.prepareDatabase { database in
            guard !database.configuration.readonly else { return }
            try database.execute(sql: "PRAGMA auto_vacuum = INCREMENTAL")
        }
        let database = try DatabasePool(path: path, configuration: options)
        // After a failed fsync the last server stopped, and what this one reads from the write-ahead log may be in the
        // page cache only. Copied into the database and synced it is on the disk, or this fails.
        try database.writeWithoutTransaction { _ = try $0.checkpoint(.truncate) }

        let migrator = LedgerSchema.migrator
        if try database.read({ try migrator.hasBeenSuperseded($0) }) {
            throw OrchestratorError(
                .failedPrecondition,
                "the ledger \(path) was written by a newer version of this program; run that version or a newer one")
        }
        try migrator.migrate(database)
        try database.writeWithoutTransaction { database in
            // The pool chose NORMAL, with which a power cut takes the newest commits. FULL is the promise behind every
            // answer.
            try database.execute(sql: "PRAGMA synchronous = FULL")
            try database.execute(sql: "PRAGMA cache_size = -\(configuration.pageCacheBytes / 1_024)")  // KiB
            // Pages of 4 KiB: fewer, larger checkpoints, each of which one batch waits for.
            try database.execute(sql: "PRAGMA wal_autocheckpoint = 4000")
            if let pages = configuration.maxDatabasePages {
                try database.execute(sql: "PRAGMA max_page_count = \(pages)")
            }
        }
        return database
    }

    struct Start {
        var jobs: [JobRow]
        var totals: [JobState: Int]
        /// Oldest first.
        var newestEvents: [Event]
        var oldestSequence: UInt64
        var lastSequence: UInt64
        var cursors: [String: UInt64]
        var followUps: FollowUps
        var slurmIdentity: String
        var kept: KeptHistory
        /// Jobs that the retention has taken.
        var droppedJobs: Int
    }

    /// Open jobs, the newest ended ones (in the order in which they are to be forgotten) and the newest events.
    func start(_ configuration: Ledger.Configuration) throws(OrchestratorError) -> Start {
        do {
            return try database.read { database in
                var open = try JobRow.fetchAll(database, sql: JobRow.selectSQL + " WHERE state < 4")
                let followUps = try Self.followUps(&open, in: database)
                let jobs = open + (try Self.newestEnded(configuration, in: database))
                let events = try Self.newestEvents(configuration, in: database)
                var ended: [JobState: Int] = [:]
                for row in try Row.fetchAll(database, sql: "SELECT state, jobs FROM totals") {
                    if let state = JobState(rawValue: row[0]) { ended[state] = row[1] }
                }
                var cursors: [String: UInt64] = [:]
                for row in try Row.fetchAll(database, sql: "SELECT name, sequence FROM cursors") {
                    cursors[row[0]] = UInt64(bitPattern: row[1] as Int64)
                }
                let oldest = try Int64.fetchOne(database, sql: "SELECT min(sequence) FROM events")
                let last = try Int64.fetchOne(database, sql: "SELECT max(sequence) FROM events")
                let slurmIdentity = try String.fetchOne(database, sql: "SELECT id FROM slurm_identity")
                let kept = try KeptHistory(database)
                return Start(
                    jobs: jobs, totals: open.reduce(into: ended) { $0[$1.job.state, default: 0] += 1 },
                    newestEvents: events,
                    oldestSequence: UInt64(oldest ?? 1), lastSequence: UInt64(last ?? 0), cursors: cursors,
                    followUps: followUps, slurmIdentity: slurmIdentity ?? "", kept: kept,
                    droppedJobs: max(0, ended.values.reduce(0, +) - kept.size.endedJobs))
            }
        } catch let error as OrchestratorError {
            throw error
        } catch {
            throw Self.unusable(path, error)
        }
    }

    /// As many as the memory keeps, and no more: a thousand large payloads are a gigabyte. The last to end comes last.
    private static func newestEnded(_ configuration: Ledger.Configuration, in database: Database) throws -> [JobRow] {
        let rows = try Row.fetchCursor(
            database, sql: JobRow.selectSQL + " WHERE state >= 4 ORDER BY finished_at DESC LIMIT ?",
            arguments: [configuration.recentJobs])
        var ended: [JobRow] = []
        var bytes = 0
        while bytes <= configuration.recentJobBytes, let row = try rows.next() {
            let row = try JobRow(row)
            bytes += JobIndex.weight(row.job)
            ended.append(row)
        }
        return ended.reversed()
    }

    /// Oldest first, bounded as the memory of them is.
    private static func newestEvents(_ configuration: Ledger.Configuration, in database: Database) throws -> [Event] {
        let rows = try Row.fetchCursor(
            database, sql: EventRow.selectSQL + " ORDER BY sequence DESC LIMIT ?",
            arguments: [configuration.recoveredEvents])
        var events: [Event] = []
        var bytes = 0
        while bytes <= EventLog.recentBytes, let row = try rows.next() {
            let event = try EventRow.event(row)
            bytes += event.data.count
            events.append(event)
        }
        return events.reversed()
    }

    /// Which open job waits for which, from the parents' states.
    private static func followUps(_ open: inout [JobRow], in database: Database) throws -> FollowUps {
        var followUps = FollowUps()
        var states: [String: JobState] = [:]
        if open.contains(where: { !$0.job.spec.dependsOn.isEmpty }) {
            states = Dictionary(open.map { ($0.job.id, $0.job.state) }, uniquingKeysWith: { $1 })
        }
        for index in open.indices {
            var parents: [String: JobState] = [:]
            for id in open[index].job.spec.dependsOn {
                let found = try states[id] ?? JobRow.state(of: id, in: database)
                states[id] = found
                // Retention keeps it; should it be gone all the same, nobody can say that it went well.
                parents[id] = found ?? .failed
            }
            open[index].job.openParents = parents.count { $0.value != .succeeded }
            followUps.opened(open[index].job, parents: parents)
        }
        return followUps
    }

    /// Moves the write-ahead log into the database file and closes both.
    static func close(_ database: DatabasePool) throws {
        try database.writeWithoutTransaction { _ = try $0.checkpoint(.truncate) }
        try database.close()
    }
}
