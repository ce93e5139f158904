import CLinux
import Dispatch
import Glibc
import Logging
import Synchronization

/// Executes attempts of jobs as real processes on this machine, each under a supervisor process of its own that survives
/// this server: see `Sources/dspy-job-supervisor/main.c`. What became of an attempt is always read from its directory, so
/// a server that was restarted learns the same as one that was there.
public final class Runner: Sendable {
    public enum RunResult: Sendable, Equatable {
        case ended(AttemptOutcome)
        /// It ended after somebody asked it to.
        case cancelled(AttemptOutcome)
        /// The command never ran, because the machine was short of something; starting it again may work.
        case notStarted(reason: String)
    }

    /// What became of an attempt that the ledger has as running, but that this server did not start.
    public enum Reconciliation: Sendable, Equatable {
        case ended(AttemptOutcome)
        /// It ended after somebody asked it to.
        case cancelled(AttemptOutcome)
        /// Its command never ran: the attempt can be started again.
        case neverStarted
        /// It ended because this runner's last life did, and left nothing running: the job can be started again.
        case interrupted
    }

    private struct AttemptKey: Hashable {
        var jobID: String
        var attempt: UInt32
    }

    /// From the moment an attempt is taken on until its end is known.
    private struct Ongoing {
        /// nil until there is a process to signal.
        var supervisor: Int32?
        var isCancelled = false
    }

    private let configuration: RunnerConfiguration
    private let supervisor: String
    private let jobsDirectory: String
    private let environment: CommandEnvironment
    private let watch: ProcessWatch
    let lifeline: Lifeline?
    let workers: WorkerPool?
    private let cgroups: Cgroups
    private let logger: Logger
    private let ongoing = Mutex<[AttemptKey: Ongoing]>([:])
    /// Files and spawning are blocking calls of a fraction of a millisecond: two threads of their own keep them off the
    /// tasks' threads, and starts do not wait behind results.
    private let starting = DispatchQueue(label: "runner.start", qos: .userInitiated)
    private let collecting = DispatchQueue(label: "runner.collect", qos: .userInitiated)

    /// Throws `internal` when the supervisor program is missing or the jobs directory can't be made.
    public init(
        configuration: RunnerConfiguration, serverEnvironment: [String: String], logger: Logger
    ) throws(OrchestratorError) {
        supervisor = try SupervisorProgram.find(configuration.supervisorPath)
        do {
            try WholeFile.makeDirectories(configuration.jobsDirectory)
        } catch {
            throw OrchestratorError(.internal, "the jobs directory can't be made: \(error)")
        }
        jobsDirectory = WholeFile.resolved(configuration.jobsDirectory)
        environment = CommandEnvironment(server: serverEnvironment, inherit: configuration.inheritedVariables)
        if !configuration.sandboxes.isEmpty { try Sandbox.check(supervisor: supervisor) }
        cgroups = Cgroups(configuration.cgroups, logger: logger)
        let hasWorkers = configuration.handlers.byName.values.contains { $0.mode != .process }
        let lifeline = configuration.endsWithServer || hasWorkers ? try Lifeline() : nil
        self.lifeline = lifeline
        let watch = try ProcessWatch()
        self.watch = watch
        if hasWorkers, let lifeline {
            workers = WorkerPool(
                WorkerPool.Setting(
                    supervisor: supervisor, directory: jobsDirectory + "/.workers",
                    environment: environment.inherited, grace: configuration.grace, limits: configuration.limits,
                    cgroups: cgroups, sandboxes: configuration.sandboxes,
                    openFiles: configuration.openFiles),
                watch: watch, lifeline: lifeline, logger: logger)
        } else {
            workers = nil
        }
        self.configuration = configuration
        self.logger = logger
    }

    /// Whether this runner could start the job, to be asked before the job is accepted.
    ///
    /// - Throws: `invalidArgument` with the field, or `failedPrecondition` for a class that has no runner here.
    public func validate(_ spec: JobSpec) throws(OrchestratorError) {
        _ = try PayloadCommand.command(of: spec, handlers: configuration.handlers)
        _ = try limits(spec)
        let wanted = Int(spec.resources.gpus)
        guard wanted > 0 else { return }
        guard spec.jobClass == .gpu else {
            throw .invalidArgument(
                "resources.gpus",
                "resources.gpus of \(wanted): a job of class \(spec.jobClass.word) gets no GPU; submit it as gpu")
        }
        guard wanted <= configuration.gpus.count else {
            throw .invalidArgument(
                "resources.gpus",
                "resources.gpus of \(wanted): this server has \(configuration.gpus.count); ask for fewer, or list them "
                    + "under runner.gpus in the configuration file")
        }
    }

    /// Of what the class may have at most, what the job asks for.
    private func limits(_ spec: JobSpec) throws(OrchestratorError) -> ResourceLimits {
        try (configuration.limits[spec.jobClass] ?? .none).narrowed(to: spec.resources, spec.jobClass)
    }

    /// Ends the workers that have nothing to do, and tidies up; called when no more jobs come.
    public func close() async {
        await workers?.close()
        cgroups.close()
    }

    /// Where the files of an attempt are, for reading its logs. Throws for an id that is no safe file name.
    public func directory(jobID: String, attempt: UInt32) throws(OrchestratorError) -> AttemptDirectory {
        try AttemptDirectory(jobsDirectory: jobsDirectory, jobID: jobID, attempt: attempt)
    }

    /// What the job's current attempt has left on the disk.
    public func outputBytes(of job: Job) async -> Int64 {
        guard let directory = try? directory(jobID: job.id, attempt: job.attempt) else { return 0 }
        return await collecting.run { AttemptOutput.bytes(in: directory.path) }
    }

    /// Runs the job's current attempt to its end. `job.attempt` says which it is.
    ///
    /// - Parameter isCancelled: asked once, when `cancel` has begun to reach the attempt: a cancel that came before.
    public func run(_ job: Job, isCancelled: @Sendable () -> Bool = { false }) async -> RunResult {
        var attempt: Attempt
        switch prepare(job) {
        case .success(let prepared): attempt = prepared
        case .failure(let error): return .ended(AttemptOutcome(failure: .runnerError, error: error.message))
        }
        let key = AttemptKey(jobID: job.id, attempt: job.attempt)
        ongoing.withLock { $0[key] = Ongoing() }
        defer { ongoing.withLock { _ = $0.removeValue(forKey: key) } }
        if isCancelled() {
            return .cancelled(
                AttemptOutcome(failure: .runnerError, error: "the attempt was told to stop before it began"))
        }

        attempt.gpus = await devices(for: job)
        defer { configuration.gpus.giveBack(attempt.gpus) }
        if case .worker(let rules)? = attempt.command.worker?.mode {
            return await runInWorker(attempt, key, rules, isCancelled)
        }
        let spawned = await starting.run { [self, attempt] in
            Result { () throws(SystemError) in try start(attempt) }
        }
        let process: SupervisorProcess.Started
        switch spawned {
        case .success(let started): process = started
        case .failure(let error) where error.isShortage: return .notStarted(reason: error.description)
        case .failure(let error):
            return .ended(
                AttemptOutcome(failure: .runnerError, error: "the attempt could not be started: \(error)"))
        }
        became(key, supervisor: process.descriptor)
        await watch.end(of: process.descriptor)
        ceased(key, descriptor: process.descriptor)
        return await collecting.run { [self, attempt] in
            let status = SupervisorProcess.reap(process.pid)
            if let record = AttemptRemains(directory: attempt.directory).record { return result(record, of: attempt) }
            let reason = "the supervisor of attempt \(job.attempt) ended without a record (\(status))"
            // Its pid is on disk before it starts anything.
            if !WholeFile.exists(attempt.directory.pid) { return .notStarted(reason: reason) }
            return .ended(AttemptOutcome(failure: .lost, error: reason))
        }
    }

    /// Finds out what became of the job's current attempt, which another life of this server started. One that still
    /// runs is adopted: this returns when it has ended, and `cancel` reaches it.
    ///
    /// - Parameter isCancelled: asked once, when `cancel` has begun to reach the attempt: a cancel that came before.
    public func reconcile(_ job: Job, isCancelled: @Sendable () -> Bool = { false }) async -> Reconciliation {
        let attempt: Attempt
        switch prepare(job) {
        case .success(let prepared): attempt = prepared
        case .failure(let error): return .ended(AttemptOutcome(failure: .runnerError, error: error.message))
        }
        let key = AttemptKey(jobID: job.id, attempt: job.attempt)
        ongoing.withLock { $0[key] = Ongoing() }
        defer { ongoing.withLock { _ = $0.removeValue(forKey: key) } }
        if isCancelled() { cancel(jobID: job.id, attempt: job.attempt) }
        let gpus = ((try? WholeFile.read(attempt.directory.gpus, limit: 4096)) ?? []).split(separator: 10)
            .map { String(decoding: $0, as: UTF8.self) }
        configuration.gpus.adopt(gpus)
        defer { configuration.gpus.giveBack(gpus) }

        while true {
            let trace = await collecting.run { AttemptRemains(directory: attempt.directory).trace }
            switch trace {
            case .recorded(let record) where record.orphaned && configuration.endsWithServer:
                return interrupted(attempt)
            case .recorded(let record):
                return await collecting.run { [self] in
                    switch result(record, of: attempt) {
                    case .ended(let outcome): return .ended(outcome)
                    case .cancelled(let outcome): return .cancelled(outcome)
                    case .notStarted: return .neverStarted
                    }
                }
            case .supervised(let identity):
                if let descriptor = identity?.open() {
                    logger.info("adopted a running attempt", metadata: .job(job))
                    became(key, supervisor: descriptor)
                    await watch.end(of: descriptor)
                    ceased(key, descriptor: descriptor)
                } else {
                    // It has just begun, has just ended, or runs where this server can't see its pid.
                    try? await Task.sleep(for: .milliseconds(20))
                }
            case .untouched:
                guard let startedAt = job.startedAt, startedAt > Self.machineStarted() else {
                    return .ended(Self.lost(job))
                }
                return .neverStarted
            case .abandoned:
                return configuration.endsWithServer ? interrupted(attempt) : .ended(Self.lost(job))
            }
        }
    }

    /// A job that is there whenever its runner dies may be what kills it.
    private func interrupted(_ attempt: Attempt) -> Reconciliation {
        let job = attempt.job
        try? WholeFile.write([], to: attempt.directory.interrupted)
        let times = (1...job.attempt).suffix(1000).count { number in
            (try? directory(jobID: job.id, attempt: number)).map { WholeFile.exists($0.interrupted) } ?? false
        }
        guard times > Self.mostInterruptions else { return .interrupted }
        return .ended(
            AttemptOutcome(
                failure: .lost, error: "its runner died \(times) times while it ran; it is not started once more"))
    }

    private static let mostInterruptions = 3

    /// Asks an attempt that `run` or `reconcile` is following to end: SIGTERM, then SIGKILL after the grace. Does nothing
    /// when it has ended already.
    public func cancel(jobID: String, attempt: UInt32) {
        let key = AttemptKey(jobID: jobID, attempt: attempt)
        ongoing.withLock { ongoing in
            guard ongoing[key] != nil else { return }
            ongoing[key]?.isCancelled = true
            // Under the lock, which `ceased` takes before the descriptor is closed.
            if let supervisor = ongoing[key]?.supervisor { _ = clinux_pidfd_send_signal(supervisor, SIGTERM) }
        }
    }

    // MARK: - One attempt

    /// What is known of an attempt before anything is done for it.
    private struct Attempt: Sendable {
        var job: Job
        var command: JobCommand
        var directory: AttemptDirectory
        var timeout: Duration
        var limits: ResourceLimits
        var sandbox: Sandbox?
        /// Its own for as long as it runs.
        var gpus: [String] = []
    }

    private func prepare(_ job: Job) -> Result<Attempt, OrchestratorError> {
        Result { () throws(OrchestratorError) in
            let command = try PayloadCommand.command(of: job.spec, handlers: configuration.handlers)
            var timeout =
                job.spec.timeout ?? command.timeout ?? configuration.timeouts[job.jobClass] ?? .seconds(24 * 3600)
            // The supervisor keeps the deadline even while no server runs.
            if let started = job.startedAt, let deadline = job.deadline {
                timeout = min(timeout, max(.milliseconds(1), started.duration(to: deadline)))
            }
            return Attempt(
                job: job, command: command, directory: try directory(jobID: job.id, attempt: job.attempt),
                timeout: timeout, limits: try limits(job.spec), sandbox: configuration.sandboxes[job.jobClass])
        }
    }

    /// A gpu job's own devices, one unless it asks for more.
    private func devices(for job: Job) async -> [String] {
        job.jobClass == .gpu ? await configuration.gpus.take(max(1, Int(job.spec.resources.gpus))) : []
    }

    private func became(_ key: AttemptKey, supervisor: Int32) {
        ongoing.withLock { ongoing in
            ongoing[key]?.supervisor = supervisor
            if ongoing[key]?.isCancelled == true { _ = clinux_pidfd_send_signal(supervisor, SIGTERM) }
        }
    }

    private func ceased(_ key: AttemptKey, descriptor: Int32) {
        ongoing.withLock { $0[key]?.supervisor = nil }
        Glibc.close(descriptor)
    }

    private func start(_ attempt: Attempt) throws(SystemError) -> SupervisorProcess.Started {
        let directory = attempt.directory
        try makeDirectory(attempt)
        if let input = attempt.command.standardInput {
            try WholeFile.write(Array(input.utf8), to: directory.standardInput)
        }
        if attempt.command.workingDirectory == nil { try WholeFile.makeDirectory(directory.work) }

        if attempt.sandbox != nil {
            try WholeFile.makeDirectory(directory.temporary)
            // There, so that it can be written without its directory.
            try WholeFile.write([], to: directory.result)
        }

        let lock = open(directory.lock, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard lock >= 0 else { throw SystemError("open", directory.lock) }
        // The supervisor's copy keeps the lock.
        defer { Glibc.close(lock) }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 else { throw SystemError("flock", directory.lock) }

        var arguments = [
            "--dir", directory.path, "--timeout-ms", String(Self.milliseconds(attempt.timeout)),
            "--grace-ms", String(Self.milliseconds(configuration.grace)),
            "--stdout-cap", String(configuration.outputCap), "--stderr-cap", String(configuration.outputCap),
            "--cwd", attempt.command.workingDirectory ?? directory.work,
        ]
        if attempt.command.standardInput != nil { arguments += ["--stdin", directory.standardInput] }
        arguments += attempt.limits.arguments(softOpenFiles: configuration.openFiles)
        arguments += cgroups.arguments(for: attempt.limits)
        if let sandbox = attempt.sandbox { arguments += sandbox.arguments(directory, attempt.job.jobClass) }
        return try SupervisorProcess.start(
            program: supervisor, arguments: arguments + ["--"] + attempt.command.arguments,
            environment: variables(of: attempt), lock: lock, lifeline: lifeline?.descriptor)
    }

    /// The attempt's directory with the payload in it, and no trace of an earlier start that came to nothing.
    private func makeDirectory(_ attempt: Attempt) throws(SystemError) {
        let directory = attempt.directory
        var isNew = true
        for ancestor in directory.ancestors { isNew = try WholeFile.makeDirectory(ancestor) }
        if !isNew {
            // A start that came to nothing: its traces must not be taken for this one's.
            for stale in [
                directory.exit, directory.pid, directory.result, directory.standardInput,
                directory.standardOutputTail, directory.standardErrorTail,
            ] {
                unlink(stale)
            }
        }
        try WholeFile.write(attempt.job.spec.payload, to: directory.payload)
        if !attempt.gpus.isEmpty {
            try WholeFile.write(Array(attempt.gpus.joined(separator: "\n").utf8), to: directory.gpus)
        }
    }

    private func variables(of attempt: Attempt) -> [String: String] {
        var variables = environment.variables(
            for: attempt.job, command: attempt.command, directory: attempt.directory)
        if attempt.sandbox != nil { variables["TMPDIR"] = attempt.directory.temporary }
        if !attempt.gpus.isEmpty { variables["CUDA_VISIBLE_DEVICES"] = attempt.gpus.joined(separator: ",") }
        return variables
    }

    /// At least 1, as 0 is no limit to the supervisor; rounded up, so that nothing ends early.
    private static func milliseconds(_ duration: Duration) -> Int64 {
        max(1, (min(duration.nanoseconds, .max - 999_999) + 999_999) / 1_000_000)
    }

    // MARK: - In a worker

    private func runInWorker(
        _ attempt: Attempt, _ key: AttemptKey, _ rules: WorkerRules, _ isCancelled: @Sendable () -> Bool
    ) async -> RunResult {
        guard let workers, let handler = attempt.command.worker else {
            return .ended(AttemptOutcome(failure: .runnerError, error: "this runner has no workers"))
        }
        let directory = attempt.directory
        let prepared = await starting.run { [self] in
            Result { () throws(SystemError) in
                try makeDirectory(attempt)
                // Begun: if this server dies now, nobody knows how far the job came.
                try WholeFile.write(Array("worker\n".utf8), to: directory.pid)
            }
        }
        if case .failure(let error) = prepared {
            if error.isShortage { return .notStarted(reason: error.description) }
            return .ended(AttemptOutcome(failure: .runnerError, error: "the attempt could not be started: \(error)"))
        }
        let wasCancelled = { @Sendable [self] in ongoing.withLock { $0[key]?.isCancelled == true } }
        let end = await workers.perform(
            WorkerMessage.Task(job: attempt.job, timeout: attempt.timeout), handler: handler, rules: rules,
            gpus: attempt.gpus,
            errorFile: WorkerConnection.ErrorFile(path: directory.standardError, cap: configuration.outputCap),
            isCancelled: wasCancelled,
            became: { [self] descriptor in became(key, supervisor: descriptor) },
            ceased: { [self] in ongoing.withLock { $0[key]?.supervisor = nil } })
        let outcome = Self.outcome(end, attempt, resultCap: configuration.resultCap)
        if case .result(let json) = end, outcome.failure == nil {
            // For the case that this server dies before the ledger has it.
            await collecting.run {
                try? WholeFile.write(json, to: directory.result)
                try? WholeFile.replace(directory.exit, with: Array("exit_code=0\nend=1\n".utf8), syncsDirectory: false)
            }
        }
        if case .cancelled = end { return .cancelled(outcome) }
        return .ended(outcome)
    }

    private static func outcome(_ end: WorkerPool.End, _ attempt: Attempt, resultCap: Int) -> AttemptOutcome {
        switch end {
        case .result(let json):
            switch AttemptResult.worker(json, cap: resultCap) {
            case .json(let json): return AttemptOutcome(result: json)
            case .none: return AttemptOutcome()
            case .unusable(let why): return AttemptOutcome(failure: .runnerError, error: why)
            }
        case .failure(let words, let json):
            let line = AttemptEnd.oneLine(words)
            var outcome = AttemptOutcome(
                exitCode: 1, failure: .exitCode, error: line.isEmpty ? "the function failed" : line)
            outcome.result = Array(#"{"error":"#.utf8) + json + Array("}".utf8)
            // Better the words alone than neither.
            if outcome.result.count > resultCap { outcome.result = [] }
            return outcome
        case .timedOut:
            return AttemptOutcome(failure: .timeout, error: "timed out after \(AttemptEnd.seconds(attempt.timeout))")
        case .cancelled: return AttemptOutcome(failure: .runnerError, error: "the attempt was told to stop")
        case .notReady(let why): return AttemptOutcome(failure: .runnerError, error: why)
        case .malformed(let why):
            return AttemptOutcome(
                failure: .runnerError, error: "the worker broke the protocol (Documentation/workers.md): \(why)")
        case .died(let record, let errorTail):
            guard var record else { return AttemptOutcome(failure: .lost, error: "the worker ended without a record") }
            // The supervisor was told to see that nothing is left.
            record.cancelled = false
            let end = AttemptEnd(
                record: record, result: .none, errorTail: errorTail, command: attempt.command,
                timeout: attempt.timeout, path: "", limits: attempt.limits)
            guard var outcome = end.outcome, outcome.failure != nil else {
                return AttemptOutcome(
                    failure: .runnerError, error: "the worker exited with code 0 in the middle of the job")
            }
            outcome.error = "the worker " + outcome.error
            return outcome
        }
    }

    // MARK: - Ends

    private func result(_ record: ExitRecord, of attempt: Attempt) -> RunResult {
        let remains = AttemptRemains(directory: attempt.directory)
        let end = AttemptEnd(
            record: record, result: remains.result(record, cap: configuration.resultCap),
            errorTail: remains.errorTail(record), command: attempt.command, timeout: attempt.timeout,
            path: variables(of: attempt)["PATH"] ?? "", limits: attempt.limits)
        guard let outcome = end.outcome else { return .notStarted(reason: "the machine is short of resources") }
        return record.cancelled ? .cancelled(outcome) : .ended(outcome)
    }

    private static func lost(_ job: Job) -> AttemptOutcome {
        AttemptOutcome(
            failure: .lost,
            error:
                "the runner of attempt \(job.attempt) died without a record (machine restarted?); whether the command "
                + "finished is unknown")
    }

    /// Attempts older than this left no process behind, and files that were not on the disk yet are gone.
    private static func machineStarted() -> Timestamp {
        var up = timespec()
        clock_gettime(CLOCK_BOOTTIME, &up)
        return Timestamp.now().advanced(by: .nanoseconds(-(Int64(up.tv_sec) * 1_000_000_000 + Int64(up.tv_nsec))))
    }
}
