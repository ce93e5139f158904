import Foundation
import GRDB

/// An event and its row: the one place that knows the columns' order.
enum EventRow {
    private static let insertSQL = RowInserter.SQL(
        into: "events (sequence, job, job_id, type, time, attempt, state, data, source)",
        row: "(?,?,?,?,?,?,?,?,?)")
    static let selectSQL = selectSQL(from: "events")

    static func selectSQL(from source: String) -> String {
        "SELECT sequence, job_id, type, time, attempt, state, data, source FROM \(source)"
    }

    /// All events of some jobs.
    ///
    /// - Parameter numbers: with commas between, or parameters.
    static func ofJobsSQL(_ numbers: String) -> String {
        """
        SELECT * FROM events WHERE sequence IN (\(numbers)) AND sequence = job
        UNION ALL SELECT * FROM events INDEXED BY later_events_by_job WHERE job IN (\(numbers)) AND sequence <> job
        """
    }

    /// - Parameter jobs: for each event the number of its job.
    static func insert(_ events: [Event], jobs: [UInt64], in database: Database, values: BoundValues) throws {
        try RowInserter(sql: insertSQL, values: values).insert(events.indices, in: database) { index, row in
            let event = events[index]
            row.bind(event.sequence)
            row.bind(jobs[index])
            row.bind(event.jobID)
            row.bind(event.type.rawValue)
            row.bind(event.time.nanoseconds)
            row.bind(event.attempt)
            row.bind(event.state?.rawValue ?? 0)
            row.bind(event.data)
            row.bind(event.source)
        }
    }

    /// - Throws: `internal`, when the row holds a state that no version of this program writes.
    static func event(_ row: Row) throws -> Event {
        let sequence = UInt64(bitPattern: row[0] as Int64)
        let state = JobState(rawValue: row[5])
        if state == nil, row[5] as Int32 != 0 {
            throw OrchestratorError(
                .internal, "the ledger's event \(sequence) has state \(row[5] as Int32), which is unknown here")
        }
        return Event(
            sequence: sequence, type: EventType(rawValue: row[2]), jobID: row[1],
            time: Timestamp(nanoseconds: row[3]), attempt: row[4], state: state, data: [UInt8](row[6] as Data),
            source: row[7])
    }
}
