import Glibc
import Synchronization

/// Which files in `claimed/` wait for which job's end.
final class ClaimedFiles: Sendable {
    private let directory: String
    private let names = Mutex<[String: [String]]>([:])

    init(directory: String) { self.directory = directory }

    func add(_ name: String, jobID: String) {
        names.withLock { $0[jobID, default: []].append(name) }
    }

    /// The file went elsewhere.
    func forget(_ name: String, jobID: String) {
        names.withLock { names in
            names[jobID]?.removeAll { $0 == name }
            if names[jobID]?.isEmpty == true { names[jobID] = nil }
        }
    }

    func isAwaited(_ jobID: String) -> Bool { names.withLock { $0[jobID] != nil } }

    /// The job's done file is durable: its claims have served.
    func remove(jobID: String) {
        for name in names.withLock({ $0.removeValue(forKey: jobID) }) ?? [] { unlink("\(directory)/\(name)") }
    }
}
