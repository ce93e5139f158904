import Dispatch
import Glibc

/// Slurm's commands as functions. Each is an argument vector, has a timeout, and answers with what it means rather than
/// with an exit code; each call is counted and timed.
struct SlurmClient: Sendable {
    private let programs: SlurmPrograms
    private let environment: [String: String]
    private let timeout: Duration
    private let metrics: SlurmMetrics
    private let user: String
    private let queue = DispatchQueue(label: "slurm.commands", attributes: .concurrent)

    init(_ configuration: SlurmConfiguration, serverEnvironment: [String: String], metrics: SlurmMetrics)
        throws(OrchestratorError)
    {
        // Only these: an SBATCH_* or SQUEUE_* variable would be an option that nobody checked.
        var environment = serverEnvironment.filter { configuration.inheritedVariables.contains($0.key) }
        if environment["PATH"] == nil { environment["PATH"] = CommandEnvironment.defaultPath }
        programs = try SlurmPrograms(configuration.programDirectory, path: environment["PATH"] ?? "")
        self.environment = environment
        timeout = configuration.commandTimeout
        self.metrics = metrics
        user = String(geteuid())
    }

    /// - Parameters:
    ///   - variables: which the job inherits beside the server's few.
    ///   - lock: a descriptor that sbatch holds open while it lives.
    /// - Returns: the batch job's id.
    func submit(
        script: String, arguments: [String], variables: [String: String], lock: Int32
    ) async -> SlurmAnswer<String> {
        let answer = await run(
            "sbatch", programs.sbatch, ["--parsable"] + arguments + [script],
            environment: environment.merging(variables) { _, new in new }, inherited: lock)
        guard case .ok(let text) = answer else { return answer }
        guard let id = SlurmOutput.submitted(text) else {
            return .inDoubt("sbatch printed \(String(text.prefix(200)).debugDescription) instead of a job id")
        }
        return .ok(id)
    }

    /// Every job of this user that the controller has, those that ended a short while ago among them.
    func queueRows() async -> SlurmAnswer<[QueueRow]> {
        await run(
            "squeue", programs.squeue,
            ["--noheader", "--states=all", "--user=\(user)", "--format=\(SlurmOutput.queueFormat)"], environment: asking
        ).map(SlurmOutput.queue)
    }

    enum Accounting: Sendable {
        case rows([AccountingRow])
        case unavailable
        /// None is configured.
        case none
    }

    /// - Parameter ids: at most some thousands, so that they fit into one argument.
    func accounting(ids: [String], withSteps: Bool = false) async -> Accounting {
        await accounting(["--jobs=\(ids.joined(separator: ","))"] + (withSteps ? [] : ["--allocations"]))
    }

    func accounting(name: String, since: Timestamp) async -> Accounting {
        // A clock that is an hour off must not hide it.
        await accounting(["--name=\(name)", "--allocations", "--starttime=uts\(since.seconds - 3_600)"])
    }

    private func accounting(_ arguments: [String]) async -> Accounting {
        let answer = await run(
            "sacct", programs.sacct,
            [
                "--noheader", "--parsable2", "--delimiter=\(SlurmOutput.separator)",
                "--format=\(SlurmOutput.accountingFormat)",
            ] + arguments, environment: asking)
        switch answer {
        case .ok(let text): return .rows(SlurmOutput.accounting(text))
        case .refused(let words) where words == Self.noAccounting: return .none
        case .refused, .away, .inDoubt: return .unavailable
        }
    }

    /// Every job that the controller has, with its exit code: for clusters without accounting.
    func controlRows() async -> SlurmAnswer<[AccountingRow]> {
        await run("scontrol", programs.scontrol, ["--oneliner", "show", "job"], environment: asking)
            .map(SlurmOutput.control)
    }

    /// Cancelling what is not there is no error.
    func cancel(id: String) async -> SlurmAnswer<Void> {
        await run("scancel", programs.scancel, [id], environment: environment).map { _ in }
    }

    /// Puts a job that runs back into the queue.
    ///
    /// - Parameter lock: a descriptor that scontrol holds open while it lives.
    func requeue(id: String, lock: Int32) async -> SlurmAnswer<Void> {
        await run("scontrol", programs.scontrol, ["requeue", id], environment: environment, inherited: lock)
            .map { _ in }
    }

    private static let noAccounting = "no accounting"

    private var asking: [String: String] { environment.merging(["SLURM_TIME_FORMAT": "%s"]) { _, new in new } }

    private func run(
        _ command: String, _ program: String, _ arguments: [String], environment: [String: String],
        inherited: Int32? = nil
    ) async -> SlurmAnswer<String> {
        let start = ContinuousClock.now
        let result = await queue.run { [timeout] in
            Result { () throws(SystemError) in
                try ProgramRun.run(
                    program, arguments, environment: environment, timeout: timeout, inherited: inherited)
            }
        }
        let answer = Self.answer(result, command: command, timeout: timeout)
        metrics.commanded(command, answer.outcome, seconds: (ContinuousClock.now - start).inSeconds)
        return answer
    }

    private static func answer(
        _ result: Result<ProgramRun.Output, SystemError>, command: String, timeout: Duration
    ) -> SlurmAnswer<String> {
        let output: ProgramRun.Output
        switch result {
        case .success(let run): output = run
        case .failure(let error): return .away("\(command) could not be started: \(error)")
        }
        let errors = String(decoding: output.standardError, as: UTF8.self)
        let words = SlurmComplaint.words(errors)
        if output.timedOut { return .inDoubt("\(command) had no answer within \(AttemptEnd.seconds(timeout))") }
        if output.isCut { return .away("\(command) said more than 16 MiB") }
        guard output.exitCode != 0 else { return .ok(String(decoding: output.standardOutput, as: UTF8.self)) }
        if output.exitCode < 0 { return .inDoubt("\(command) was ended by a signal") }
        switch SlurmComplaint(errors) {
        case .away: return .away(words)
        case .inDoubt: return .inDoubt(words)
        case .noAccounting: return .refused(noAccounting)
        case .refused: return .refused(words.isEmpty ? "\(command) ended with code \(output.exitCode)" : words)
        }
    }
}

extension SlurmAnswer {
    func map<Other>(_ change: (Value) -> Other) -> SlurmAnswer<Other> {
        switch self {
        case .ok(let value): .ok(change(value))
        case .refused(let words): .refused(words)
        case .away(let words): .away(words)
        case .inDoubt(let words): .inDoubt(words)
        }
    }

    /// Its word in metrics.
    var outcome: String {
        switch self {
        case .ok: "ok"
        case .refused: "refused"
        case .away: "unavailable"
        case .inDoubt: "timeout"
        }
    }

    /// Why Slurm could not be asked; nil when it could.
    var outage: String? {
        switch self {
        case .ok, .refused: nil
        case .away(let words), .inDoubt(let words): words
        }
    }
}
