import Dispatch
import Logging

/// Leaves a file in `done/` for each job that ended and came by the file queue or the gateway's queue route. It follows
/// the event log with a durable cursor, so that a crash loses no file; one may be written twice, the same.
final class DoneWriter: Sendable {
    /// Of the ledger's cursors.
    static let cursorName = "done"

    private static let page = 256
    /// Events after which the cursor moves although no job has ended.
    private static let cursorStep: UInt64 = 1_024

    private let directories: QueueDirectories
    private let claims: ClaimedFiles
    private let ledger: Ledger
    private let logger: Logger
    private let work = DispatchQueue(label: "file-queue.done", qos: .utility)

    init(directories: QueueDirectories, claims: ClaimedFiles, ledger: Ledger, logger: Logger) {
        self.directories = directories
        self.claims = claims
        self.ledger = ledger
        self.logger = logger
    }

    /// Works until the task is cancelled.
    func run() async {
        let (news, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        defer { wake.finish() }
        // Most commits end no job. Now and then all the same, so that the cursor does not fall behind what is kept.
        ledger.observe { batch in
            let hasEnd = batch.changes.contains { $0.job.state.isTerminal }
            if hasEnd || batch.events.contains(where: { $0.sequence.isMultiple(of: Self.cursorStep) }) { wake.yield() }
        }
        // For what happened before there was an observer.
        wake.yield()
        for await _ in news { await catchUp() }
    }

    /// Writes the files of everything that has happened so far, unless the task is cancelled.
    func catchUp() async {
        var cursor = ledger.cursor(Self.cursorName) ?? 0
        var backoff = Duration.milliseconds(100)
        while !Task.isCancelled {
            do {
                let events = try await ledger.events.events(after: cursor, limit: Self.page)
                guard let last = events.last else { return }
                var ended: [Job] = []
                for event in events where event.type.isTerminal {
                    guard let job = try await job(of: event), job.claim != .elsewhere else { continue }
                    // The bound on the ledger's size may have taken this one, and its id be another's by now.
                    guard job.lastSequence == event.sequence else { continue }
                    if job.spec.source.writesDoneFile || claims.isAwaited(job.id) { ended.append(job) }
                }
                guard await writeUntilDurable(ended) else { return }
                cursor = last.sequence
                ledger.saveCursor(Self.cursorName, cursor)
                backoff = .milliseconds(100)
            } catch let error as OrchestratorError {
                if case .outOfRange(let oldest) = error.kind {
                    logger.error("done files of events that are no longer kept can't be written: \(error)")
                    cursor = oldest - 1
                    continue
                }
                logger.error("done files wait: \(error)")
                try? await Task.sleep(for: backoff)
                backoff = min(backoff * 2, .seconds(30))
            } catch {
                return
            }
        }
    }

    /// nil when the bound on the ledger's size has taken it.
    private func job(of event: Event) async throws -> Job? {
        do {
            return try await ledger.job(event.jobID)
        } catch let error as OrchestratorError where error.kind == .notFound {
            logger.error(
                "the done file of a job that is no longer kept can't be written", metadata: .job(of: event))
            return nil
        }
    }

    /// A job that had ended already when its file was claimed: perhaps long ago, or without a file.
    func write(_ job: Job) async {
        // One that ended elsewhere has the file that was written there, unless somebody took that away.
        if job.claim == .elsewhere, WholeFile.exists("\(directories.done)/\(job.id).json") {
            await work.run { [claims] in claims.remove(jobID: job.id) }
        } else {
            _ = await writeUntilDurable([job])
        }
    }

    /// False when the task was cancelled before it was done.
    private func writeUntilDurable(_ jobs: [Job]) async -> Bool {
        guard !jobs.isEmpty else { return true }
        var backoff = Duration.milliseconds(100)
        while true {
            let failure = await work.run { [self] () -> SystemError? in
                do throws(SystemError) {
                    for job in jobs {
                        let path = "\(directories.done)/\(job.id).json"
                        try WholeFile.replace(path, with: DoneFile.text(of: job), syncsDirectory: false)
                    }
                    try WholeFile.syncDirectory(directories.done)
                    for job in jobs { claims.remove(jobID: job.id) }
                    return nil
                } catch {
                    return error
                }
            }
            guard let failure else { return true }
            logger.error("done files can't be written, trying again: \(failure)")
            do { try await Task.sleep(for: backoff) } catch { return false }
            backoff = min(backoff * 2, .seconds(30))
            await work.run { [directories] in try? directories.create() }
        }
    }
}
