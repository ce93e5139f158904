import Glibc
import Orchestrator

/// How many files and connections this process may have open (RLIMIT_NOFILE). Each connection is one, and the soft limit
/// that a shell or a service manager gives is often 1,024, which it gives for programs that use select(2): this one does
/// not, so it takes more. Jobs may be such programs, and start with the soft limit that was.
package enum OpenFiles {
    /// What the process had before, for its jobs, and has now.
    package struct Limits: Equatable {
        package var before: UInt64
        package var now: UInt64

        package init(before: UInt64, now: UInt64) {
            self.before = before
            self.now = now
        }
    }

    /// Those kept for anything but gRPC connections: the ledger, the gateway, running jobs.
    package static let reserve: UInt64 = 512

    /// Raises the soft limit.
    /// - Parameter wanted: nil takes the hard limit.
    /// - Throws: `OrchestratorError` when there can't be as many as were asked for.
    package static func raise(to wanted: UInt64?) throws(OrchestratorError) -> Limits {
        let kind = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        var limit = rlimit()
        guard getrlimit(kind, &limit) == 0 else {
            throw OrchestratorError(
                .internal, "the limit of open files can't be read: \(String(cString: strerror(errno)))")
        }
        let before = UInt64(limit.rlim_cur)
        let target = wanted ?? UInt64(limit.rlim_max)
        guard target <= UInt64(limit.rlim_max) else {
            throw OrchestratorError(
                .failedPrecondition,
                "--max-open-files: \(target) is more than the \(limit.rlim_max) that this process is allowed; give less, "
                    + "or raise the hard limit (ulimit -Hn, or LimitNOFILE= of the service)")
        }
        limit.rlim_cur = rlim_t(target)
        if setrlimit(kind, &limit) == 0 { return Limits(before: before, now: target) }
        // Some sandboxes refuse it; who asked for a number must know, and nobody else needs it to start.
        guard let wanted else { return Limits(before: before, now: before) }
        throw OrchestratorError(
            .failedPrecondition,
            "--max-open-files: the limit can't be set to \(wanted): \(String(cString: strerror(errno))); leave it out")
    }

    /// What is wrong when as many connections as are let in can't all be open, or nil.
    package static func shortage(_ limits: Limits, connections: Int) -> String? {
        let needed = UInt64(connections) + reserve
        guard limits.now < needed else { return nil }
        return
            "--rpc-max-connections \(connections) needs \(needed) open files, and this process may have \(limits.now): "
            + "raise that limit (ulimit -Hn, or LimitNOFILE= of the service), or let in fewer"
    }
}
