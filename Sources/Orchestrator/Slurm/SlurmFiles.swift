import Glibc

/// The files of batch jobs: what a job finds in its attempt's directory, and what it leaves there.
struct SlurmFiles: Sendable {
    let jobsDirectory: String
    /// Where wrappers say that there is something to read: one empty file each, so that one look tells of all jobs.
    let bells: String
    private let environment: CommandEnvironment
    private let resultCap: Int

    /// - Throws: `failedPrecondition` when the directory can't be made or its path can't be given to sbatch.
    init(_ configuration: SlurmConfiguration, serverEnvironment: [String: String]) throws(OrchestratorError) {
        do {
            try WholeFile.makeDirectories(configuration.jobsDirectory)
            jobsDirectory = WholeFile.resolved(configuration.jobsDirectory)
            bells = jobsDirectory + "/.slurm-bells"
            try WholeFile.makeDirectory(bells)
        } catch {
            throw OrchestratorError(.failedPrecondition, "the directory of batch jobs can't be made: \(error)")
        }
        // sbatch reads % and \ in the names of output files.
        guard !jobsDirectory.contains(where: { "%\\".contains($0) || $0.isNewline }) else {
            throw OrchestratorError(
                .failedPrecondition,
                "the directory of batch jobs \(jobsDirectory.debugDescription) has a % or \\ in its path, which sbatch "
                    + "reads as something else; choose another --data-dir")
        }
        environment = CommandEnvironment(server: serverEnvironment, inherit: [])
        resultCap = configuration.resultCap
    }

    func directory(_ jobID: String, attempt: UInt32) throws(OrchestratorError) -> AttemptDirectory {
        try AttemptDirectory(jobsDirectory: jobsDirectory, jobID: jobID, attempt: attempt)
    }

    // MARK: Before

    struct Prepared: Sendable {
        var script: String
        var workingDirectory: String
    }

    /// Writes everything that the batch job reads. Can be done again.
    func prepare(_ job: Job, _ work: SlurmWork, in directory: AttemptDirectory) throws(SystemError) -> Prepared {
        for ancestor in directory.ancestors { try WholeFile.makeDirectory(ancestor) }
        try WholeFile.write(job.spec.payload, to: directory.payload)
        var directives: [String] = []
        let command: JobCommand
        var parameters: [String: String] = [:]
        switch work.program {
        case .command(let given): command = given
        case .template(let template, let given):
            let file = directory.path + "/template.sh"
            try WholeFile.write(template.text, to: file)
            directives = template.directives
            parameters = given
            command = JobCommand(arguments: ["/bin/bash", file])
        }
        if let input = command.standardInput {
            try WholeFile.write(Array(input.utf8), to: directory.standardInput)
        }
        let workingDirectory = command.workingDirectory ?? directory.work
        if command.workingDirectory == nil { try WholeFile.makeDirectory(directory.work) }

        // The node has its own PATH; only what the job asks for and what tells it about itself is given.
        var variables = environment.variables(for: job, command: command, directory: directory)
        if command.environment["PATH"] == nil { variables["PATH"] = nil }
        for (name, value) in parameters { variables["DSPY_PARAM_\(name.uppercased())"] = value }
        try WholeFile.write(
            BatchScript.words(variables.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }),
            to: directory.path + "/environment")
        try WholeFile.write(BatchScript.words(command.arguments), to: directory.path + "/command")
        let script = directory.path + "/batch.sh"
        try WholeFile.write(BatchScript.text(directives: directives), to: script, mode: 0o700)
        return Prepared(script: script, workingDirectory: workingDirectory)
    }

    /// A command that changes something in Slurm, and may outlive the server that started it.
    enum LockedCommand: String, Sendable {
        case sbatch
        case requeue

        fileprivate func lock(_ directory: AttemptDirectory) -> String { "\(directory.path)/\(rawValue).lock" }
    }

    /// A lock that the command keeps while it lives: by it a restarted server knows whether its last life's still does.
    /// The caller closes it.
    func lock(_ command: LockedCommand, _ directory: AttemptDirectory) throws(SystemError) -> Int32 {
        let path = command.lock(directory)
        let lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard lock >= 0 else { throw SystemError("open", path) }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
            let error = SystemError("flock", path)
            close(lock)
            throw error
        }
        return lock
    }

    enum Progress: Sendable {
        /// It was never started.
        case never
        case underWay
        case over
    }

    func progress(of command: LockedCommand, _ directory: AttemptDirectory) -> Progress {
        let lock = open(command.lock(directory), O_RDWR | O_CLOEXEC)
        guard lock >= 0 else { return errno == ENOENT ? .never : .over }
        defer { close(lock) }
        return flock(lock, LOCK_EX | LOCK_NB) == 0 ? .over : .underWay
    }

    // MARK: While it runs, and after

    struct Bell: Sendable, Hashable {
        var file: String
        /// Of the batch job.
        var name: String
        var isEnd: Bool
    }

    /// What rang since the last look. A bell rings until `silence`.
    func ringing() -> [Bell] {
        ((try? WholeFile.names(in: bells)) ?? []).compactMap { file in
            let parts = file.split(separator: ".")
            guard parts.count == 3, parts[2] == "exit" || parts[2] == "started" else { return nil }
            return Bell(file: file, name: String(parts[0]), isEnd: parts[2] == "exit")
        }
    }

    func silence(_ bell: Bell) { unlink("\(bells)/\(bell.file)") }

    func startMarker(_ directory: AttemptDirectory) -> StartMarker? {
        (try? WholeFile.read(directory.path + "/started", limit: 65_536)).flatMap { StartMarker(parsing: $0) }
    }

    func endMarker(_ directory: AttemptDirectory) -> EndMarker? {
        let text = try? WholeFile.read(directory.exit, limit: 65_536)
        guard var marker = text.flatMap({ EndMarker(parsing: $0) }) else { return nil }
        // The signal may have reached the command and not yet its wrapper. Slurm's notice in the output came before both.
        if !marker.wasTerminated {
            let errors = (try? WholeFile.read(directory.standardError, from: -(16 << 10), limit: 16 << 10)) ?? []
            marker.wasTerminated = EndMarker.isNotice(errors, slurmJobID: marker.slurmJobID)
        }
        return marker
    }

    /// What the command left: its result, and the last line of its standard error.
    func remains(_ directory: AttemptDirectory) -> (result: AttemptResult, lastWords: String) {
        let remains = AttemptRemains(directory: directory, isBatch: true)
        let record = ExitRecord(end: .exited(code: 0))
        return (
            remains.result(record, cap: resultCap), AttemptEnd.lastWords(of: remains.errorTail(record))
        )
    }
}
