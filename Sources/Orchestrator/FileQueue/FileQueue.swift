import Logging

/// Tasks as files: `pending/*.json` become jobs of the ledger, and the end of each becomes `done/<id>.json`.
public final class FileQueue: Sendable {
    private let directory: String
    private let ledger: Ledger
    private let inbox: FileQueueInbox
    private let doneWriter: DoneWriter

    /// - Parameter admit: throws when a task could not be run here; it then goes to `failed/`.
    public init(
        configuration: FileQueueConfiguration, ledger: Ledger, logger: Logger,
        admit: @escaping @Sendable (JobSpec) throws(OrchestratorError) -> Void = PayloadCommand.validate
    ) {
        let directories = QueueDirectories(configuration.directory)
        directory = configuration.directory
        let claims = ClaimedFiles(directory: directories.claimed)
        let doneWriter = DoneWriter(directories: directories, claims: claims, ledger: ledger, logger: logger)
        self.ledger = ledger
        self.doneWriter = doneWriter
        inbox = FileQueueInbox(
            configuration: configuration, claims: claims, logger: logger, admit: admit,
            submit: { specs in await ledger.submit(specs).map { $0.map(\.job) } },
            ended: { job in await doneWriter.write(job) })
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
        try await inbox.run()
        await done
    }

    /// Writes the done files of everything that has ended so far: the last thing before the ledger closes. Not needed for
    /// correctness, as the next start does the same.
    public func finish() async { await doneWriter.catchUp() }

    public var counts: QueueCounts {
        let files = inbox.counts
        return QueueCounts(totals: ledger.totals, pendingFiles: files.pending, refusedFiles: files.refused)
    }
}
