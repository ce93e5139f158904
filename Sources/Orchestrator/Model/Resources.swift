/// What one attempt may use. 0 is the class's default.
public struct Resources: Sendable, Equatable {
    /// Processors, fractions allowed.
    public var cpus: Double
    public var memoryBytes: UInt64
    /// GPU devices.
    public var gpus: UInt32
    /// Processes and threads.
    public var processes: UInt32

    public init(cpus: Double = 0, memoryBytes: UInt64 = 0, gpus: UInt32 = 0, processes: UInt32 = 0) {
        self.cpus = cpus
        self.memoryBytes = memoryBytes
        self.gpus = gpus
        self.processes = processes
    }

    public static let unspecified = Resources()
}
