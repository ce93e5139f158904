import GRDB
import Glibc
import Testing

@testable import Orchestrator

@Suite struct LedgerFaultTests {
    @Test(arguments: [
        (ResultCode.SQLITE_FULL, Int32(0)), (.SQLITE_IOERR_SHMSIZE, 0), (.SQLITE_IOERR_WRITE, EDQUOT),
        (.SQLITE_IOERR_WRITE, ENOSPC),
    ])
    func `a disk or a quota without room is a full disk`(code: ResultCode, systemError: Int32) {
        #expect(LedgerFault(code, systemError: systemError) == .full)
    }

    // An fsync that finds no room has lost writes that were taken before.
    @Test(arguments: [
        (ResultCode.SQLITE_IOERR_FSYNC, EIO), (.SQLITE_IOERR_FSYNC, ENOSPC), (.SQLITE_IOERR_WRITE, EIO),
        (.SQLITE_IOERR_READ, EIO), (.SQLITE_CORRUPT, 0), (.SQLITE_NOTADB, 0), (.SQLITE_READONLY, EROFS),
        (.SQLITE_CANTOPEN, ENOENT),
    ])
    func `a disk or a database that can't be relied on is broken`(code: ResultCode, systemError: Int32) {
        #expect(LedgerFault(code, systemError: systemError) == .broken)
    }

    @Test(arguments: [ResultCode.SQLITE_BUSY, .SQLITE_NOMEM, .SQLITE_IOERR_NOMEM, .SQLITE_TOOBIG])
    func `anything else passes`(code: ResultCode) {
        #expect(LedgerFault(code, systemError: 0) == .passing)
    }
}
