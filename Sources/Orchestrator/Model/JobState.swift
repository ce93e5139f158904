/// The life of a job: queued → (submitted) → running → one of three terminal states, with running → queued for a
/// retry. The raw value is the number in the RPC contract.
public enum JobState: Int32, Sendable, Hashable, CaseIterable {
    case queued = 1
    /// Slurm has it, and it waits there.
    case submitted = 2
    case running = 3
    case succeeded = 4
    case failed = 5
    case cancelled = 6

    public var isTerminal: Bool { rawValue >= Self.succeeded.rawValue }

    public var word: String {
        switch self {
        case .queued: "queued"
        case .submitted: "submitted"
        case .running: "running"
        case .succeeded: "succeeded"
        case .failed: "failed"
        case .cancelled: "cancelled"
        }
    }
}
