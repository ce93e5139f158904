import Dispatch
import Logging
import Synchronization

/// Follows the jobs whose tasks other servers on the queue directory have taken over: each ends here as the other's done
/// file says, or with LOST when nobody has it any more.
///
/// While there are such jobs, inotify on `done/` is the hint to look and a look every few seconds is the truth, as with
/// `pending/`. A look costs a few system calls for each of them, and is followed by a rest of ten times its length.
final class TakenOverJobs: Sendable {
    /// The largest done file that is read: what a task and a result may have, twice over.
    static let maxDoneBytes = 64 << 20
    private static let restFactor = 10

    private struct Desk {
        var search: TaskSearch
        var absences = Absences()
    }

    private let configuration: FileQueueConfiguration
    private let directories: QueueDirectories
    private let ledger: Ledger
    private let logger: Logger
    private let now: @Sendable () -> Timestamp
    private let work = DispatchQueue(label: "file-queue.taken-over", qos: .utility)
    private let desk: Mutex<Desk>
    /// Since when they may have ended elsewhere: their submission.
    private let jobs = Mutex<[String: Timestamp]>([:])
    private let wakes: AsyncStream<Void>
    private let wake: AsyncStream<Void>.Continuation

    /// - Parameter now: a steady clock.
    init(
        configuration: FileQueueConfiguration, ledger: Ledger, logger: Logger,
        now: @escaping @Sendable () -> Timestamp = Timestamp.steady
    ) {
        self.configuration = configuration
        self.ledger = ledger
        self.logger = logger
        self.now = now
        directories = QueueDirectories(configuration.directory)
        desk = Mutex(Desk(search: TaskSearch(directories, maxFileBytes: configuration.maxFileBytes)))
        (wakes, wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Works until the task is cancelled. To be called once.
    func run() async {
        // First, so that nothing falls between the look at what is open and what happens after it.
        ledger.observe { [weak self] batch in self?.committed(batch) }
        for job in ledger.openJobs() { note(job) }
        wake.yield()
        var hints: Task<Void, Never>?
        var timer: Task<Void, any Error>?
        defer {
            hints?.cancel()
            timer?.cancel()
        }
        for await _ in wakes {
            timer?.cancel()
            let jobs = jobs.withLock { $0 }
            if jobs.isEmpty {
                hints?.cancel()
                hints = nil
                continue
            }
            hints = hints ?? listen()
            let start = ContinuousClock.now
            await look(at: jobs)
            try? await Task.sleep(for: (ContinuousClock.now - start) * Self.restFactor)
            timer = Task { [wake, configuration] in
                try await Task.sleep(for: configuration.rescanInterval)
                wake.yield()
            }
        }
    }

    /// Ends those of these jobs that another server had and ended: before a task that comes back is taken for a new run.
    func settle(_ ids: [String]) async {
        let jobs = jobs.withLock { jobs in
            Dictionary(ids.compactMap { id in jobs[id].map { (id, $0) } }, uniquingKeysWith: { first, _ in first })
        }
        if !jobs.isEmpty { await report(await work.run { [self] in ends(of: jobs) }) }
    }

    /// On the ledger's thread.
    private func committed(_ batch: CommittedBatch) {
        var isNews = false
        // Each change of one: what was stopped here can end now.
        for change in batch.changes where note(change.job) { isNews = true }
        if isNews { wake.yield() }
    }

    /// Whether it is one of them.
    @discardableResult
    private func note(_ job: Job) -> Bool {
        let isElsewhere = job.claim == .elsewhere && !job.state.isTerminal
        return jobs.withLock { jobs in
            if !isElsewhere {
                if !jobs.isEmpty { jobs[job.id] = nil }
                return false
            }
            jobs[job.id] = job.submittedAt
            return true
        }
    }

    private func listen() -> Task<Void, Never>? {
        do {
            let hints = try DirectoryHints(directories.done)
            return Task { [wake] in
                for await _ in hints.hints { wake.yield() }
            }
        } catch {
            logger.warning("done/ can't be watched; looking every few seconds: \(error)")
            return nil
        }
    }

    private func look(at jobs: [String: Timestamp]) async {
        let reports = await work.run { [self] () -> [String: TaskReport] in
            var reports = ends(of: jobs)
            let open = jobs.filter { reports[$0.key] == nil }
            if !open.isEmpty { reports.merge(absent(open)) { end, _ in end } }
            return reports
        }
        await report(reports)
    }

    private func report(_ reports: [String: TaskReport]) async {
        // Together, so that they share a commit.
        await withDiscardingTaskGroup { group in
            for (id, report) in reports {
                group.addTask { [self] in
                    do {
                        let job = try await ledger.report(report, of: id)
                        if job.state.isTerminal {
                            logger.notice("a job ended that another server had taken over", metadata: .job(job))
                        }
                    } catch {
                        // It is found again with the next look.
                        logger.error(
                            "the end of a job at another server can't be recorded now: \(error)",
                            metadata: ["job_id": "\(id)"])
                    }
                }
            }
        }
    }

    // MARK: - On `work`

    private func ends(of jobs: [String: Timestamp]) -> [String: TaskReport] {
        var ends: [String: TaskReport] = [:]
        for (id, since) in jobs {
            let path = "\(directories.done)/\(id).json"
            guard let facts = try? WholeFile.facts(path), facts.size <= Self.maxDoneBytes,
                let text = try? WholeFile.read(path, limit: Self.maxDoneBytes),
                let end = DoneFile.end(text, of: id)
            else { continue }
            // One of an earlier job with this id says nothing. The file's time is by this machine's clock, or by that of
            // the file server; the other's own clock may differ.
            let endedAt = max(end.endedAt?.nanoseconds ?? 0, facts.modified)
            if endedAt >= since.nanoseconds { ends[id] = .ended(end) }
        }
        return ends
    }

    private func absent(_ jobs: [String: Timestamp]) -> [String: TaskReport] {
        desk.withLock { desk in
            let finding: TaskSearch.Finding
            do {
                finding = try desk.search.look(for: jobs)
            } catch {
                logger.warning("the queue directory can't be searched for what others have taken over: \(error)")
                desk.absences.interrupted()
                return [:]
            }
            var reports = finding.refused.mapValues { TaskReport.refused($0) }
            if finding.isPartial { return reports }
            let limit = configuration.lostAfter
            for id in desk.absences.looked(missing: finding.missing, limit: limit, now: now()) {
                reports[id] = .vanished(limit)
            }
            return reports
        }
    }
}
