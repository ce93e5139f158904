import Logging

/// Tasks as files: `pending/*.json` become jobs of the ledger, and the end of each becomes `done/<id>.json`.
public final class FileQueue: Sendable {
    private let directory: String
    private let ledger: Ledger
    private let inbox: FileQueueInbox
    private let doneWriter: DoneWriter
    private let takenOver: TakenOverJobs

    /// - Parameters:
    ///   - check: whether a task's payload can be run here; throws the reason that is written beside the file.
    ///   - loads: how the classes stand here, so that others on the same directory get their share.
    public init(
        configuration: FileQueueConfiguration, ledger: Ledger, logger: Logger,
        check: @escaping @Sendable (JobSpec) throws(OrchestratorError) -> Void = PayloadCommand.validate,
        loads: (@Sendable () -> [JobClass: Scheduler.ClassLoad])? = nil
    ) {
        let directories = QueueDirectories(configuration.directory)
        directory = configuration.directory
        let claims = ClaimedFiles()
        ledger.waitForSink(DoneWriter.cursorName)
        let doneWriter = DoneWriter(directories: directories, claims: claims, ledger: ledger, logger: logger)
        let takenOver = TakenOverJobs(configuration: configuration, ledger: ledger, logger: logger)
        self.takenOver = takenOver
        self.ledger = ledger
        self.doneWriter = doneWriter
        inbox = FileQueueInbox(
            configuration: configuration, claims: claims, logger: logger, check: check,
            submit: { specs in
                await takenOver.settle(specs.map(\.id))
                return await ledger.submit(specs).map { $0.map(\.job) }
            },
            ended: { job in await doneWriter.write(job) },
            takenOver: { await Self.letGo(ledger, claims, logger) }, loads: loads)
    }

    /// Another server has this one's claims that are not there any more, and runs them: what the ledger still has open of
    /// them is not run here, and ends as it ends there.
    private static func letGo(_ ledger: Ledger, _ claims: ClaimedFiles, _ logger: Logger) async {
        for job in ledger.openJobs() where job.spec.source == .fileQueue && !claims.isAwaited(job.id) {
            do {
                _ = try await ledger.report(.takenOver, of: job.id)
                logger.warning("another server has taken over a job", metadata: .job(job))
            } catch {
                logger.error("a job that another server took over can't be given up: \(error)", metadata: .job(job))
            }
        }
    }

    /// Makes the directories, so that a file can be dropped before `run`.
    ///
    /// - Parameter setting: what the user set the directory with, for the message.
    /// - Throws: `failedPrecondition` that names the setting, the directory, and why it can't be used.
    public func prepare(setting: String) throws(OrchestratorError) {
        try UsableDirectory.require(directory, setting: setting)
        for part in QueueDirectories(directory).all { try UsableDirectory.require(part, setting: setting) }
    }

    /// Creates the directories and works until the task is cancelled.
    ///
    /// Throws `internal` when the directories can't be used.
    public func run() async throws(OrchestratorError) {
        async let done: Void = doneWriter.run()
        async let others: Void = takenOver.run()
        try await inbox.run()
        await done
        await others
    }

    /// Writes the done files of everything that has ended so far: the last thing before the ledger closes. Not needed for
    /// correctness, as the next start does the same.
    public func finish() async { await doneWriter.catchUp() }

    /// Returns when what another server took over meanwhile is no longer among the ledger's open jobs: until then none of
    /// them should start. `run` must have been called, or be about to be.
    ///
    /// - Parameter patience: for a directory that can't be used now; nil is for ever.
    public func untilStockIsTaken(patience: Duration?) async {
        if let patience {
            Task { [inbox] in
                try await Task.sleep(for: patience)
                inbox.tellStockIsTaken()
            }
        }
        await inbox.untilStockIsTaken()
    }

    /// From now on nothing is claimed; what is claimed goes on. First to be called at a stop, while jobs still end.
    public func stopClaiming() async { await inbox.stopClaiming() }

    /// Tasks of each class that wait in `pending/` for room here, or with others.
    public var unclaimed: [JobClass: Int] { inbox.unclaimed }

    public var counts: QueueCounts {
        let files = inbox.counts
        return QueueCounts(totals: ledger.totals, pendingFiles: files.pending, refusedFiles: files.refused)
    }
}
