import GRDB
import GRDBSQLite

/// A cached prepared statement with its values bound straight through SQLite's C interface: at a hundred thousand rows a
/// second the boxing of every value by GRDB's `StatementArguments` would cost more than the insert.
///
/// Lives within one database access. Values are bound in the order of the `?`s.
struct RowWriter {
    private let statement: OpaquePointer
    private let database: Database
    private var position: Int32 = 0

    init(_ database: Database, sql: String) throws {
        self.database = database
        self.statement = try database.cachedStatement(sql: sql).sqliteStatement
    }

    // A failed bind (out of memory, too large) leaves NULL, which the table's NOT NULL or the caller's `run` reports.
    mutating func bind(_ value: Int64) {
        position += 1
        sqlite3_bind_int64(statement, position, value)
    }

    mutating func bind(_ value: Int64?) {
        guard let value else { return bindNull() }
        bind(value)
    }

    mutating func bind(_ value: some FixedWidthInteger) { bind(Int64(truncatingIfNeeded: value)) }

    mutating func bind(_ value: Double?) {
        guard let value else { return bindNull() }
        position += 1
        sqlite3_bind_double(statement, position, value)
    }

    mutating func bindNull() {
        position += 1
        sqlite3_bind_null(statement, position)
    }

    mutating func bind(_ text: String) {
        position += 1
        var text = text
        // SQLite reads `count` bytes and no further; a NULL pointer would bind NULL, hence the "".
        _ = text.withUTF8 { utf8 in
            utf8.withMemoryRebound(to: CChar.self) { bytes in
                if let start = bytes.baseAddress, bytes.count > 0 {
                    sqlite3_bind_text(statement, position, start, Int32(bytes.count), Self.copy)
                } else {
                    sqlite3_bind_text(statement, position, "", 0, Self.copy)
                }
            }
        }
    }

    mutating func bind(_ text: String?) {
        guard let text else { return bindNull() }
        bind(text)
    }

    mutating func bind(_ bytes: [UInt8]) {
        position += 1
        bytes.withUnsafeBytes { buffer in
            if buffer.count == 0 {
                _ = sqlite3_bind_zeroblob(statement, position, 0)
            } else {
                _ = sqlite3_bind_blob(statement, position, buffer.baseAddress, Int32(buffer.count), Self.copy)
            }
        }
    }

    /// Writes the row and makes ready for the next.
    mutating func run() throws {
        let code = sqlite3_step(statement)
        let message = code == SQLITE_DONE ? nil : String(cString: sqlite3_errmsg(database.sqliteConnection))
        sqlite3_reset(statement)
        position = 0
        if let message { throw DatabaseError(resultCode: ResultCode(rawValue: code), message: message) }
    }

    /// SQLITE_TRANSIENT: SQLite copies the value before the call returns.
    private static var copy: sqlite3_destructor_type { unsafeBitCast(-1, to: sqlite3_destructor_type.self) }
}
