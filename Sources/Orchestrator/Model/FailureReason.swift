/// Why a job, or one attempt at it, failed. The raw value is the number in the RPC contract, `word` the one in files,
/// events and metrics.
public enum FailureReason: Int32, Sendable, Hashable, CaseIterable {
    case exitCode = 1
    case signal = 2
    case timeout = 3
    case outOfMemory = 4
    case nodeFailure = 5
    case preempted = 6
    case submitRejected = 7
    case lost = 8
    case dependencyFailed = 9
    case runnerError = 10

    public var word: String {
        switch self {
        case .exitCode: "exit_code"
        case .signal: "signal"
        case .timeout: "timeout"
        case .outOfMemory: "out_of_memory"
        case .nodeFailure: "node_failure"
        case .preempted: "preempted"
        case .submitRejected: "submit_rejected"
        case .lost: "lost"
        case .dependencyFailed: "dependency_failed"
        case .runnerError: "runner_error"
        }
    }

    /// Retried when the policy names no reasons: running it again may end otherwise.
    public var isRetriedByDefault: Bool { self != .submitRejected && self != .dependencyFailed }
}
