/// What one attempt may use; nil is no limit. Memory, processes and processors are for the command with everything it
/// starts, the others for each of its processes.
public struct ResourceLimits: Sendable, Equatable {
    /// Processors, fractions allowed.
    public var cpus: Double?
    public var memoryBytes: UInt64?
    /// Processes; threads count where a cgroup counts them.
    public var processes: UInt32?
    /// Of one file that it writes.
    public var fileBytes: UInt64?
    /// Descriptors.
    public var openFiles: UInt32?

    public init(
        cpus: Double? = nil, memoryBytes: UInt64? = nil, processes: UInt32? = nil, fileBytes: UInt64? = nil,
        openFiles: UInt32? = nil
    ) {
        self.cpus = cpus
        self.memoryBytes = memoryBytes
        self.processes = processes
        self.fileBytes = fileBytes
        self.openFiles = openFiles
    }

    public static let none = ResourceLimits()

    /// These limits of a class, with what a job of it asks for: as much or less.
    ///
    /// - Throws: `invalidArgument` that names the field, when a job asks for more than its class may have.
    public func narrowed(to resources: Resources, _ jobClass: JobClass) throws(OrchestratorError) -> ResourceLimits {
        var limits = self
        if resources.cpus > 0 {
            try Self.check(resources.cpus, cpus, "cpus", jobClass)
            limits.cpus = resources.cpus
        }
        if resources.memoryBytes > 0 {
            try Self.check(resources.memoryBytes, memoryBytes, "memory_bytes", jobClass)
            limits.memoryBytes = resources.memoryBytes
        }
        if resources.processes > 0 {
            try Self.check(resources.processes, processes, "processes", jobClass)
            limits.processes = resources.processes
        }
        return limits
    }

    private static func check<Amount: Comparable>(
        _ asked: Amount, _ most: Amount?, _ field: String, _ jobClass: JobClass
    ) throws(OrchestratorError) {
        guard let most, asked > most else { return }
        throw .invalidArgument(
            "resources.\(field)",
            "resources.\(field) of \(asked): class \(jobClass.word) may have \(most) at most on this server; ask for less, "
                + "or have its limit raised in the configuration file")
    }

    /// For the supervisor.
    ///
    /// - Parameter softOpenFiles: what each process starts with, unless its limit is lower; nil is the server's own.
    func arguments(softOpenFiles: UInt64?) -> [String] {
        var arguments: [String] = []
        // The kernel's numbers are signed.
        func add(_ option: String, _ number: UInt64?) {
            if let number { arguments += [option, String(min(number, UInt64(Int64.max)))] }
        }
        add("--memory-bytes", memoryBytes)
        add("--processes", processes.map { min(UInt64($0), UInt64(Int32.max)) })
        add("--cpus-milli", cpus.map { UInt64(max(1, min($0, 100_000) * 1000)) })
        add("--file-bytes", fileBytes)
        add("--open-files", softOpenFiles.map { min($0, UInt64(Int32.max)) })
        add("--most-open-files", openFiles.map { min(UInt64($0), UInt64(Int32.max)) })
        return arguments
    }
}
