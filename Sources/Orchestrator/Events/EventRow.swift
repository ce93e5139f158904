import Foundation
import GRDB

/// An event and its row: the one place that knows the columns' order.
enum EventRow {
    static let insertSQL = """
        INSERT INTO events (sequence, job, job_id, type, time, attempt, state, data, source) VALUES (?,?,?,?,?,?,?,?,?)
        """
    static let selectSQL = "SELECT sequence, job_id, type, time, attempt, state, data, source FROM events"

    static func insert(_ event: Event, job number: UInt64, _ row: inout RowWriter) throws {
        row.bind(event.sequence)
        row.bind(number)
        row.bind(event.jobID)
        row.bind(event.type.rawValue)
        row.bind(event.time.nanoseconds)
        row.bind(event.attempt)
        row.bind(event.state?.rawValue ?? 0)
        row.bind(event.data)
        row.bind(event.source)
        try row.run()
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
