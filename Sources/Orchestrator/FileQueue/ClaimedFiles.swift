import Glibc
import Synchronization

/// Which claimed files wait for which job's end.
final class ClaimedFiles: Sendable {
    private let paths = Mutex<[String: Set<String>]>([:])

    func add(_ path: String, jobID: String) {
        paths.withLock { _ = $0[jobID, default: []].insert(path) }
    }

    /// The file went elsewhere.
    func forget(_ path: String, jobID: String) {
        paths.withLock { paths in
            paths[jobID]?.remove(path)
            if paths[jobID]?.isEmpty == true { paths[jobID] = nil }
        }
    }

    /// They are another's, or in another place.
    func forgetAll() { paths.withLock { $0 = [:] } }

    func isAwaited(_ jobID: String) -> Bool { paths.withLock { $0[jobID] != nil } }

    /// The job's done file is durable: its claims have served.
    func remove(jobID: String) {
        for path in paths.withLock({ $0.removeValue(forKey: jobID) }) ?? [] { unlink(path) }
    }
}
