import Glibc
import Synchronization

/// Which claimed files wait for which job's end.
final class ClaimedFiles: Sendable {
    private struct Claims {
        var paths: Set<String> = []
        var jobClass: JobClass
    }

    private struct State {
        var claims: [String: Claims] = [:]
        /// Jobs of each class.
        var counts: [JobClass: Int] = [:]
        var whenRemoved: (@Sendable () -> Void)?
    }

    private let state = Mutex(State())

    func add(_ path: String, jobID: String, jobClass: JobClass) {
        state.withLock { state in
            if state.claims[jobID] == nil {
                state.claims[jobID] = Claims(jobClass: jobClass)
                state.counts[jobClass, default: 0] += 1
            }
            state.claims[jobID]?.paths.insert(path)
        }
    }

    /// The file went elsewhere.
    func forget(_ path: String, jobID: String) {
        state.withLock { state in
            state.claims[jobID]?.paths.remove(path)
            if state.claims[jobID]?.paths.isEmpty == true { Self.drop(jobID, &state) }
        }
    }

    /// They are another's, or in another place.
    func forgetAll() {
        state.withLock { state in
            state.claims = [:]
            state.counts = [:]
        }
    }

    func isAwaited(_ jobID: String) -> Bool { state.withLock { $0.claims[jobID] != nil } }

    /// Jobs of each class that have not ended.
    var counts: [JobClass: Int] { state.withLock { $0.counts } }

    /// To be called whenever there is room for another claim.
    func whenRemoved(_ callback: @escaping @Sendable () -> Void) { state.withLock { $0.whenRemoved = callback } }

    /// The job's done file is durable: its claims have served.
    func remove(jobID: String) {
        let (paths, whenRemoved) = state.withLock { state in (Self.drop(jobID, &state), state.whenRemoved) }
        for path in paths { unlink(path) }
        if !paths.isEmpty { whenRemoved?() }
    }

    @discardableResult
    private static func drop(_ jobID: String, _ state: inout State) -> Set<String> {
        guard let claims = state.claims.removeValue(forKey: jobID) else { return [] }
        state.counts[claims.jobClass, default: 0] -= 1
        return claims.paths
    }
}
