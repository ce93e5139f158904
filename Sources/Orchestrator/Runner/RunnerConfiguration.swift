/// How the runner runs.
public struct RunnerConfiguration: Sendable {
    /// Where attempts keep their files: `<jobsDirectory>/<shard>/<job id>/<attempt>/`. Created when absent.
    public var jobsDirectory: String
    /// The program `dspy-job-supervisor`. nil looks beside the server's own executable.
    public var supervisorPath: String?
    /// Of one attempt, for jobs that name none. Default: cpu_short 5 minutes, cpu_long and gpu 24 hours.
    public var timeouts: [JobClass: Duration]
    /// From SIGTERM to SIGKILL. Default 5 seconds.
    public var grace: Duration
    /// Bytes kept of each output stream of an attempt. Default 16 MiB.
    public var outputCap: Int64
    /// The largest result, in bytes. Default 1 MiB.
    public var resultCap: Int
    /// What attempts may use, by class. Default: no limits.
    public var limits: [JobClass: ResourceLimits]
    /// Makes the groups in which attempts with limits get their own, when the first needs one. Default: none.
    public var cgroups: (@Sendable () -> CgroupParents)?
    /// For commands of these classes. Default: none.
    public var sandboxes: [JobClass: Sandbox]
    /// Whether attempts are cancelled when this process is gone, whichever way; otherwise they go on, to be adopted by
    /// the next one on the same directory. Default false.
    public var endsWithServer: Bool
    /// Commands that jobs ask for by name. Default: none.
    public var handlers: Handlers
    /// Each gpu job gets its own. Default: none, and CUDA_VISIBLE_DEVICES is left alone.
    public var gpus: GPUDevices
    /// Variables of the server's environment that jobs see. Default: PATH, HOME, LANG, TMPDIR, USER.
    public var inheritedVariables: [String]
    /// The soft limit of open files that jobs start with (RLIMIT_NOFILE). Default: the server's.
    public var openFiles: UInt64?

    /// Takes what the configuration file says.
    public mutating func apply(_ settings: RunnerSettings, path: String) {
        limits = settings.limits
        sandboxes = settings.sandboxes
        cgroups = settings.usesCgroups ? CgroupParents.prepare : nil
        handlers = settings.handlers
        gpus = GPUDevices(settings.gpus, path: path)
        if let variables = settings.inheritedVariables { inheritedVariables = variables }
        if let cap = settings.outputCap { outputCap = cap }
    }

    public static let defaultTimeouts: [JobClass: Duration] = [
        .cpuShort: .seconds(5 * 60), .cpuLong: .seconds(24 * 3600), .gpu: .seconds(24 * 3600),
    ]

    public init(
        jobsDirectory: String, supervisorPath: String? = nil,
        timeouts: [JobClass: Duration] = RunnerConfiguration.defaultTimeouts,
        grace: Duration = .seconds(5), outputCap: Int64 = 16 << 20, resultCap: Int = 1 << 20,
        limits: [JobClass: ResourceLimits] = [:], cgroups: (@Sendable () -> CgroupParents)? = nil,
        sandboxes: [JobClass: Sandbox] = [:], endsWithServer: Bool = false,
        handlers: Handlers = Handlers(), gpus: GPUDevices = GPUDevices([]),
        inheritedVariables: [String] = ["PATH", "HOME", "LANG", "TMPDIR", "USER"],
        openFiles: UInt64? = nil
    ) {
        self.jobsDirectory = jobsDirectory
        self.supervisorPath = supervisorPath
        self.timeouts = timeouts
        self.grace = grace
        self.outputCap = outputCap
        self.resultCap = resultCap
        self.limits = limits
        self.cgroups = cgroups
        self.sandboxes = sandboxes
        self.endsWithServer = endsWithServer
        self.handlers = handlers
        self.gpus = gpus
        self.inheritedVariables = inheritedVariables
        self.openFiles = openFiles
    }
}
