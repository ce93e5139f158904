import Glibc

/// How the bridge reaches Slurm and how it behaves.
public struct SlurmConfiguration: Sendable {
    /// Where sbatch, squeue, sacct, scancel and scontrol are; nil looks along PATH.
    public var programDirectory: String?
    /// Where attempts keep their files, on a file system that the nodes see at the same path.
    public var jobsDirectory: String
    /// Holds `*.sbatch`; nil is no templates.
    public var templateDirectory: String?
    /// For jobs that name none; nil is the cluster's.
    public var defaultPartition: String?
    /// Between two looks at the queue while jobs are there and nothing much happens.
    public var pollInterval: Duration = .seconds(5)
    /// Continuous absence everywhere before a job is LOST.
    public var lostAfter: Duration = .seconds(300)
    /// How long a submission of unknown outcome may take to show up before it is sent again.
    public var adoptionGrace: Duration = .seconds(15)
    /// Of one command of Slurm's.
    public var commandTimeout: Duration = .seconds(20)
    /// Jobs that Slurm has at once; more stay queued here.
    public var maxJobs = 1_000
    /// Bytes kept of the beginning of each output stream of an attempt; more of its end is kept aside (`OutputRest`).
    public var outputCap: Int64 = 16 << 20
    /// The largest result, in bytes.
    public var resultCap = 1 << 20
    /// Variables of the server's environment that jobs and Slurm's commands see.
    public var inheritedVariables = ["PATH", "HOME", "LANG", "USER", "LOGNAME", "SLURM_CONF"]

    public init(jobsDirectory: String) { self.jobsDirectory = jobsDirectory }

    /// Whether it may stand behind `--partition=`.
    public static func isPartition(_ text: String) -> Bool { SlurmOptions.names.accepts(text) }
}

/// Slurm's programs, found.
struct SlurmPrograms: Sendable {
    var sbatch: String
    var squeue: String
    var sacct: String
    var scancel: String
    var scontrol: String

    /// - Throws: `failedPrecondition` that names the program and where it was looked for.
    init(_ directory: String?, path: String) throws(OrchestratorError) {
        func find(_ name: String) throws(OrchestratorError) -> String {
            let places = directory.map { [$0] } ?? path.split(separator: ":").map(String.init)
            for place in places where place.hasPrefix("/") && access("\(place)/\(name)", X_OK) == 0 {
                return "\(place)/\(name)"
            }
            throw OrchestratorError(
                .failedPrecondition,
                "--slurm: no program \(name) in \(places.joined(separator: ":")); install Slurm's client programs, or name "
                    + "their directory, an absolute path, with --slurm-bin")
        }
        sbatch = try find("sbatch")
        squeue = try find("squeue")
        sacct = try find("sacct")
        scancel = try find("scancel")
        scontrol = try find("scontrol")
    }
}
