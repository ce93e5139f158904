import GRDB
import GRDBSQLite

/// A cached prepared statement with its values bound straight through SQLite's C interface: at a hundred thousand rows a
/// second the boxing of every value by GRDB's `StatementArguments` would cost more than the insert.
///
/// Lives within one database access. Values are bound in the order of the parameters, all of them for each `run`.
struct RowWriter {
    private let statement: OpaquePointer
    private let database: Database
    private let values: BoundValues
    private var position: Int32 = 0

    /// - Parameter values: nobody else's between the first binding and `run`.
    init(_ database: Database, sql: String, values: BoundValues = BoundValues()) throws {
        self.database = database
        self.values = values
        statement = try database.cachedStatement(sql: sql).sqliteStatement
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
        text.withUTF8 { utf8 in
            let (bytes, lifetime) = values.keep(UnsafeRawBufferPointer(utf8))
            // SQLite reads `count` bytes and no further.
            let characters = bytes.assumingMemoryBound(to: CChar.self)
            sqlite3_bind_text(statement, position, characters, Int32(utf8.count), lifetime)
        }
    }

    mutating func bind(_ text: String?) {
        guard let text else { return bindNull() }
        bind(text)
    }

    mutating func bind(_ bytes: [UInt8]) {
        position += 1
        bytes.withUnsafeBytes { buffer in
            let (bytes, lifetime) = values.keep(buffer)
            _ = sqlite3_bind_blob(statement, position, bytes, Int32(buffer.count), lifetime)
        }
    }

    /// Writes the row, or the rows of the statement, and makes ready for the next.
    mutating func run() throws {
        assert(position == sqlite3_bind_parameter_count(statement), "a value is missing or too many")
        let code = sqlite3_step(statement)
        let message = code == SQLITE_DONE ? nil : String(cString: sqlite3_errmsg(database.sqliteConnection))
        sqlite3_reset(statement)
        // It lives on, and must not refer to what is overwritten.
        sqlite3_clear_bindings(statement)
        position = 0
        values.forget()
        if let message { throw DatabaseError(resultCode: ResultCode(rawValue: code), message: message) }
    }
}

/// New rows of one table, several to a statement: what SQLite does once for a statement costs it as much as half a row.
///
/// A row that can't be inserted leaves those before it in the table, so that the transaction has to be rolled back, as it
/// is after any error: to undo the statement alone, SQLite would write the pages that it changes into a temporary file.
struct RowInserter {
    private static let rowsAtOnce = 8

    struct SQL {
        fileprivate let one: String
        fileprivate let several: String

        /// - Parameters:
        ///   - table: and its columns.
        ///   - row: the values of one, with their parentheses.
        init(into table: String, row: String) {
            one = "INSERT INTO \(table) VALUES \(row)"
            let rows = Array(repeating: row, count: rowsAtOnce).joined(separator: ",")
            several = "INSERT OR FAIL INTO \(table) VALUES \(rows)"
        }
    }

    let sql: SQL
    let values: BoundValues

    /// - Parameter bind: binds all values of one row.
    func insert<Rows: RandomAccessCollection>(
        _ rows: Rows, in database: Database, bind: (Rows.Element, inout RowWriter) -> Void
    ) throws {
        var rest = rows[...]
        if rest.count >= Self.rowsAtOnce {
            var writer = try RowWriter(database, sql: sql.several, values: values)
            repeat {
                for row in rest.prefix(Self.rowsAtOnce) { bind(row, &writer) }
                try writer.run()
                rest = rest.dropFirst(Self.rowsAtOnce)
            } while rest.count >= Self.rowsAtOnce
        }
        if rest.isEmpty { return }
        var writer = try RowWriter(database, sql: sql.one, values: values)
        for row in rest {
            bind(row, &writer)
            try writer.run()
        }
    }
}

/// The texts and blobs that are bound to a statement, from their binding until it has run: SQLite's own copies would be an
/// allocation for each of them.
final class BoundValues {
    private static let room = 16 << 10

    private var bytes: UnsafeMutableRawPointer?
    private var used = 0

    deinit { bytes?.deallocate() }

    /// Where a value is until `forget`, and what SQLite is to be told of it. One that finds no room here stays where it is,
    /// and SQLite copies it before the binding returns. Never a null pointer, which would bind NULL.
    fileprivate func keep(_ value: UnsafeRawBufferPointer) -> (UnsafeRawPointer, sqlite3_destructor_type?) {
        if let source = value.baseAddress, value.count > Self.room - used {
            return (source, unsafeBitCast(-1, to: sqlite3_destructor_type.self))  // SQLITE_TRANSIENT
        }
        let bytes = self.bytes ?? .allocate(byteCount: Self.room, alignment: 1)
        self.bytes = bytes
        guard let source = value.baseAddress, value.count > 0 else { return (UnsafeRawPointer(bytes), nil) }
        let target = bytes + used
        target.copyMemory(from: source, byteCount: value.count)
        used += value.count
        return (UnsafeRawPointer(target), nil)
    }

    fileprivate func forget() { used = 0 }
}
