import Glibc

/// Where the program `dspy-job-supervisor` is.
enum SupervisorProgram {
    /// The configured path, else beside the server's own executable. Throws `internal` when it can't be executed there.
    static func find(_ configured: String?) throws(OrchestratorError) -> String {
        let path = configured ?? besideThisProgram("dspy-job-supervisor")
        guard access(path, X_OK) == 0 else {
            throw OrchestratorError(
                .internal,
                "the program dspy-job-supervisor is not at \(path.asJSON) (\(SystemError.words(errno))); install it beside "
                    + "the server, or name it with --supervisor")
        }
        return WholeFile.resolved(path)
    }

    private static func besideThisProgram(_ name: String) -> String {
        let own = WholeFile.resolved("/proc/self/exe")
        return own.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/") + "/"
            + name
    }
}
