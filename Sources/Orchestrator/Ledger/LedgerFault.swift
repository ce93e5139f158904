import GRDB
import Glibc

/// What an error of SQLite says about the disk under the ledger.
enum LedgerFault: Equatable {
    /// No room: nothing was changed, and everything works again once there is some.
    case full
    /// The disk or the file is not to be relied on any more. After a failed fsync nobody knows what is on the disk, and
    /// the kernel takes the pages for written all the same (fsync(2)): going on could acknowledge what a power cut
    /// takes. The next start writes everything again that it finds in the write-ahead log.
    case broken
    /// Anything else, memory for one: nothing was changed.
    case passing

    /// - Parameter systemError: `errno` as SQLite last saw it on this connection; 0 when it saw none.
    init(_ code: ResultCode, systemError: Int32) {
        switch code {
        case .SQLITE_FULL: self = .full
        // The index of the write-ahead log could not grow: SQLite has no other word for a full disk there.
        case .SQLITE_IOERR_SHMSIZE: self = .full
        case .SQLITE_IOERR_WRITE where systemError == EDQUOT || systemError == ENOSPC: self = .full
        case .SQLITE_IOERR_NOMEM: self = .passing
        default:
            switch code.primaryResultCode {
            case .SQLITE_IOERR, .SQLITE_CORRUPT, .SQLITE_NOTADB, .SQLITE_READONLY, .SQLITE_CANTOPEN: self = .broken
            default: self = .passing
            }
        }
    }
}

extension DatabaseError {
    /// Without the statement, which has lines and says nothing to who reads the log.
    var line: String { "SQLite error \(extendedResultCode.rawValue), \(message ?? "no message")" }
}
