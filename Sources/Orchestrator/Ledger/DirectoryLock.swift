import Foundation
import Synchronization

/// An exclusive advisory lock (flock(2)) on `ledger.lock` in a directory: one server a ledger. The kernel drops it when
/// the process ends, however it ends; the descriptor is close-on-exec, so that no child keeps it.
final class DirectoryLock: Sendable {
    private let descriptor: Mutex<Int32?>

    init(directory: String) throws(OrchestratorError) {
        let path = directory + "/ledger.lock"
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else {
            throw OrchestratorError(
                .failedPrecondition,
                "can't open \(path): \(String(cString: strerror(errno))); make the data directory writable")
        }
        guard Self.lock(file) else {
            let reason: String
            if errno == EWOULDBLOCK {
                let holder = Self.holder(file).map { " (pid \($0))" } ?? ""
                reason = "another server\(holder) is using it; stop that one or choose another data directory"
            } else {
                reason = String(cString: strerror(errno))
            }
            close(file)
            throw OrchestratorError(.failedPrecondition, "can't lock the data directory \(directory): \(reason)")
        }
        // For the message above, and for people. On a full disk there is none.
        let pid = Array("\(getpid())\n".utf8)
        ftruncate(file, 0)
        _ = pwrite(file, pid, pid.count, 0)
        descriptor = Mutex(file)
    }

    deinit { release() }

    /// Tries for half a second: a server that was killed may have left a child behind that has not become another program
    /// yet, and shares the lock until then.
    private static func lock(_ file: Int32) -> Bool {
        for attempt in 0... {
            if flock(file, LOCK_EX | LOCK_NB) == 0 { return true }
            if errno != EWOULDBLOCK || attempt == 25 { break }
            usleep(20_000)
            errno = EWOULDBLOCK
        }
        return false
    }

    private static func holder(_ file: Int32) -> Int32? {
        var text = [UInt8](repeating: 0, count: 16)
        let count = pread(file, &text, text.count, 0)
        guard count > 0 else { return nil }
        return Int32(String(decoding: text.prefix(count).prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self))
    }

    /// Harmless when done already.
    func release() {
        descriptor.withLock {
            if let file = $0 {
                // A child between its fork and its exec still has the file open, and with it the lock.
                flock(file, LOCK_UN)
                close(file)
            }
            $0 = nil
        }
    }
}
