import GRDB

/// Running counts of what is kept, so that no start and no sweep has to read the history to know. Stored with every
/// change, in the table `kept`.
struct KeptHistory: Equatable {
    /// A place in the order in which ended jobs are forgotten: by their end, then by submission.
    struct Mark: Comparable {
        /// Nanoseconds since 1970.
        var finishedAt: Int64
        var number: Int64

        static let start = Mark(finishedAt: .min, number: 0)

        static func < (left: Mark, right: Mark) -> Bool {
            (left.finishedAt, left.number) < (right.finishedAt, right.number)
        }
    }

    var size = HistorySize()
    /// The outputs of jobs up to here are gone.
    var outputsThrough = Mark.start

    /// A batch may end these jobs.
    mutating func ended(_ changes: [LedgerBatch.Change]) {
        for change in changes {
            if let formerEnd = change.formerEnd { count(formerEnd, by: -1) }
            if change.row.job.state.isTerminal { count(change.row, by: 1) }
        }
    }

    private mutating func count(_ row: JobRow, by step: Int) {
        size.endedJobs += step
        guard row.job.attempt > 0, let mark = row.mark, mark > outputsThrough else { return }
        size.outputs += step
        size.outputBytes += row.job.outputBytes * Int64(step)
    }

    private var values: [(name: String, value: Int64)] {
        [
            ("ended_jobs", Int64(size.endedJobs)), ("outputs", Int64(size.outputs)),
            ("output_bytes", size.outputBytes), ("outputs_through_time", outputsThrough.finishedAt),
            ("outputs_through_number", outputsThrough.number),
        ]
    }

    init() {}

    init(_ database: Database) throws {
        var stored: [String: Int64] = [:]
        for row in try Row.fetchAll(database, sql: "SELECT name, value FROM kept") { stored[row[0]] = row[1] }
        size.endedJobs = Int(stored["ended_jobs"] ?? 0)
        size.outputs = Int(stored["outputs"] ?? 0)
        size.outputBytes = stored["output_bytes"] ?? 0
        outputsThrough = Mark(
            finishedAt: stored["outputs_through_time"] ?? .min, number: stored["outputs_through_number"] ?? 0)
    }

    func write(replacing old: KeptHistory, in database: Database, values bound: BoundValues) throws {
        guard self != old else { return }
        var row = try RowWriter(database, sql: "INSERT OR REPLACE INTO kept (name, value) VALUES (?,?)", values: bound)
        for (new, old) in zip(values, old.values) where new.value != old.value {
            row.bind(new.name)
            row.bind(new.value)
            try row.run()
        }
    }
}

extension JobRow {
    /// nil while it is open.
    var mark: KeptHistory.Mark? {
        job.finishedAt.map { KeptHistory.Mark(finishedAt: $0.nanoseconds, number: Int64(bitPattern: number)) }
    }
}
