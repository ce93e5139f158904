import ArgumentParser
import Orchestrator
import Programs

/// The flags of the Slurm bridge.
struct SlurmServeOptions: ParsableArguments {
    @Option(
        help:
            "true gives jobs of class gpu_slurm to Slurm, by its client programs. (env: ORCHESTRATOR_SLURM; default: false)"
    )
    var slurm: String?

    @Option(
        help:
            "The directory of sbatch, squeue, sacct, scancel and scontrol. (env: ORCHESTRATOR_SLURM_BIN; default: along PATH)"
    )
    var slurmBin: String?

    @Option(
        help:
            "A directory of batch templates, NAME.sbatch each, as in deploy/slurm. (env: ORCHESTRATOR_SLURM_TEMPLATES; default: none)"
    )
    var slurmTemplates: String?

    @Option(
        help:
            "Where batch jobs keep their files, on a file system that Slurm's nodes see at the same path. (env: ORCHESTRATOR_SLURM_JOBS_DIR; default: jobs in --data-dir)"
    )
    var slurmJobsDir: String?

    @Option(
        help: "The partition of jobs that name none. (env: ORCHESTRATOR_SLURM_PARTITION; default: the cluster's)")
    var slurmPartition: String?

    @Option(
        help: "Jobs that Slurm has at once; more wait here. (env: ORCHESTRATOR_SLURM_MAX_JOBS; default: 1000)")
    var slurmMaxJobs: String?

    @Option(
        help:
            "Seconds between two looks at Slurm's queue while jobs are there; more often while something changes, less often while nothing does. (env: ORCHESTRATOR_SLURM_POLL_SECONDS; default: 5)"
    )
    var slurmPollSeconds: String?

    @Option(
        help:
            "Seconds without any trace of a job in Slurm before it is LOST. (env: ORCHESTRATOR_SLURM_LOST_SECONDS; default: 300)"
    )
    var slurmLostSeconds: String?

    @Option(
        help:
            "Seconds that a submission of unknown outcome has to show up in Slurm before it is sent again. (env: ORCHESTRATOR_SLURM_ADOPT_SECONDS; default: 15)"
    )
    var slurmAdoptSeconds: String?

    @Option(
        help: "Seconds that one command of Slurm's may take. (env: ORCHESTRATOR_SLURM_COMMAND_SECONDS; default: 20)")
    var slurmCommandSeconds: String?

    @Option(
        help:
            "Bytes kept of the beginning of each output stream of a batch job; of its end 2 to 4 MiB are kept as well. (env: ORCHESTRATOR_SLURM_OUTPUT_BYTES; default: 16MiB)"
    )
    var slurmOutputBytes: String?
}

extension SlurmConfiguration {
    /// nil is no bridge.
    ///
    /// - Throws: `ValidationError` that names the flag, the value and what is expected.
    init?(_ options: SlurmServeOptions, environment: [String: String], dataDirectory: String) throws {
        func setting<Value>(
            _ flag: String, _ variable: String, _ given: String?, _ expected: String, _ fallback: Value,
            _ parse: @escaping (String) -> Value?
        ) throws -> Value {
            try Setting(flag: "--\(flag)", variable: variable, parse: parse, expected: expected)
                .value(given, environment: environment, default: fallback)
        }
        guard try setting("slurm", "ORCHESTRATOR_SLURM", options.slurm, "true or false", false, Parse.boolean) else {
            return nil
        }
        self.init(
            jobsDirectory: try setting(
                "slurm-jobs-dir", "ORCHESTRATOR_SLURM_JOBS_DIR", options.slurmJobsDir, "a path",
                dataDirectory + "/jobs", Parse.path))
        programDirectory = try setting(
            "slurm-bin", "ORCHESTRATOR_SLURM_BIN", options.slurmBin, "an absolute path", nil
        ) { $0.hasPrefix("/") ? Parse.path($0) : nil }
        templateDirectory = try setting(
            "slurm-templates", "ORCHESTRATOR_SLURM_TEMPLATES", options.slurmTemplates, "a path", nil, Parse.path)
        defaultPartition = try setting(
            "slurm-partition", "ORCHESTRATOR_SLURM_PARTITION", options.slurmPartition,
            "a partition's name, or several with commas between", nil
        ) { Self.isPartition($0) ? $0 : nil }
        maxJobs = try setting(
            "slurm-max-jobs", "ORCHESTRATOR_SLURM_MAX_JOBS", options.slurmMaxJobs, "a number from 1 to 100000",
            maxJobs, Parse.count(1...100_000))
        func seconds(_ flag: String, _ variable: String, _ given: String?, _ most: Double, _ fallback: Duration)
            throws -> Duration
        {
            try setting(
                flag, variable, given, "a number of seconds from 0.1 to \(Int(most))", fallback,
                Parse.seconds(0.1...most))
        }
        pollInterval = try seconds(
            "slurm-poll-seconds", "ORCHESTRATOR_SLURM_POLL_SECONDS", options.slurmPollSeconds, 600,
            pollInterval)
        lostAfter = try seconds(
            "slurm-lost-seconds", "ORCHESTRATOR_SLURM_LOST_SECONDS", options.slurmLostSeconds, 86_400,
            lostAfter)
        adoptionGrace = try seconds(
            "slurm-adopt-seconds", "ORCHESTRATOR_SLURM_ADOPT_SECONDS", options.slurmAdoptSeconds, 3_600,
            adoptionGrace)
        commandTimeout = try seconds(
            "slurm-command-seconds", "ORCHESTRATOR_SLURM_COMMAND_SECONDS", options.slurmCommandSeconds, 600,
            commandTimeout)
        outputCap = try setting(
            "slurm-output-bytes", "ORCHESTRATOR_SLURM_OUTPUT_BYTES", options.slurmOutputBytes,
            "a number of bytes from 1 to 1TiB, such as 16MiB", outputCap
        ) { text in
            Parse.bytes(text).flatMap { $0 }.flatMap { $0 <= 1 << 40 ? $0 : nil }
        }
    }
}
