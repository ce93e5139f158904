import Glibc
import Logging
import Synchronization

/// The parents of the attempts' control groups, made when the first attempt needs one: a server whose jobs have no limits
/// leaves the machine's groups alone.
final class Cgroups: Sendable {
    private let prepare: (@Sendable () -> CgroupParents)?
    private let logger: Logger
    private let parents = Mutex<CgroupParents?>(nil)

    /// - Parameter prepare: makes them; nil is none.
    init(_ prepare: (@Sendable () -> CgroupParents)?, logger: Logger) {
        self.prepare = prepare
        self.logger = logger
    }

    /// For the supervisor of an attempt with these limits.
    func arguments(for limits: ResourceLimits) -> [String] {
        guard let prepare, limits.memoryBytes != nil || limits.processes != nil || limits.cpus != nil else { return [] }
        return parents.withLock { parents in
            if let parents { return parents.arguments }
            let made = prepare()
            logger.info("limits of jobs are held by \(made.summary)")
            parents = made
            return made.arguments
        }
    }

    /// Removes them, unless some other server's attempts are in them.
    func close() {
        let made = parents.withLock { parents in
            defer { parents = nil }
            return parents
        }
        for path in [made?.unified, made?.memory, made?.pids, made?.cpu].compactMap({ $0 }) { rmdir(path) }
    }
}
