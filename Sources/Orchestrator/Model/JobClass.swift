/// Where and how a job runs. The raw value is the number in the RPC contract, `word` the one in files and metrics.
public enum JobClass: Int32, Sendable, Hashable, CaseIterable {
    case cpuShort = 1
    case cpuLong = 2
    case gpu = 3
    case gpuSlurm = 4

    public var word: String {
        switch self {
        case .cpuShort: "cpu_short"
        case .cpuLong: "cpu_long"
        case .gpu: "gpu"
        case .gpuSlurm: "gpu_slurm"
        }
    }

    public init?(word: some StringProtocol) {
        guard let match = Self.allCases.first(where: { $0.word == word }) else { return nil }
        self = match
    }

    /// Whether this machine's runner executes it.
    public var isLocal: Bool { self != .gpuSlurm }
}
