import Dispatch
import Glibc
import Logging
import Synchronization

/// Takes task files out of `pending/` and submits them.
///
/// ```
///  pending/a.json ──rename──► claimed/a.json ──submit──► the ledger … done/a.json, and the claim is removed
///        └──────────not a task──────┴────────► failed/a.json, failed/a.json.error
/// ```
/// The claim is the rename: of several servers on one directory one gets the file. What is in `claimed/` at the start is
/// submitted again, which is the same job when it was accepted before; servers that share a directory must therefore
/// share a ledger too, or not be restarted while another holds claims.
final class FileQueueInbox: Sendable {
    struct Counts: Sendable {
        /// In `pending/` at the last look.
        var pending = 0
        /// Files in `failed/` that were refused, ever.
        var refused = 0
        /// Looks at `pending/` so far.
        var scans = 0
    }

    /// A claimed file on its way to the ledger.
    private struct Claim: Sendable {
        var name: String
        var spec: JobSpec
    }

    /// What one look at `pending/` found.
    private struct Scan: Sendable {
        var claims: [Claim] = []
        /// When a file that may still be written is to be looked at again.
        var nextLook: Timestamp?
        /// There was more than one batch.
        var isFull = false
    }

    /// Files per submission: enough to share one commit, few enough to keep the first from waiting for the last.
    private static let batch = 256

    private let configuration: FileQueueConfiguration
    private let directories: QueueDirectories
    private let claims: ClaimedFiles
    private let admit: @Sendable (JobSpec) throws(OrchestratorError) -> Void
    private let submit: @Sendable ([JobSpec]) async -> [Result<Job, OrchestratorError>]
    private let ended: @Sendable (Job) async -> Void
    private let logger: Logger
    private let now: @Sendable () -> Timestamp
    private let work = DispatchQueue(label: "file-queue.inbox", qos: .userInitiated)
    private let unsettled: Mutex<UnsettledFiles>
    private let state = Mutex(Counts())

    /// - Parameters:
    ///   - admit: throws when a task could not be run here.
    ///   - submit: gives each job's verdict, in their order.
    ///   - ended: a submitted job turned out to have ended before; leaves its done file.
    init(
        configuration: FileQueueConfiguration, claims: ClaimedFiles, logger: Logger,
        now: @escaping @Sendable () -> Timestamp = Timestamp.steady,
        admit: @escaping @Sendable (JobSpec) throws(OrchestratorError) -> Void = PayloadCommand.validate,
        submit: @escaping @Sendable ([JobSpec]) async -> [Result<Job, OrchestratorError>],
        ended: @escaping @Sendable (Job) async -> Void
    ) {
        self.configuration = configuration
        self.claims = claims
        self.admit = admit
        self.submit = submit
        self.ended = ended
        self.logger = logger
        self.now = now
        directories = QueueDirectories(configuration.directory)
        unsettled = Mutex(UnsettledFiles(settleTime: configuration.settleTime))
    }

    var counts: Counts { state.withLock { $0 } }

    /// Creates the directories and works until the task is cancelled.
    func run() async throws(OrchestratorError) {
        let hints = try await open()
        await submitUntilAccepted(await work.run { [self] in recover() })
        var changes = hints.hints.makeAsyncIterator()
        while !Task.isCancelled {
            let found = await work.run { [self] in scan() }
            await submitUntilAccepted(found.claims)
            if found.isFull { continue }
            let timer = Task { [configuration, now] in
                var pause = configuration.rescanInterval
                if let next = found.nextLook { pause = min(pause, max(.milliseconds(1), now().duration(to: next))) }
                try await Task.sleep(for: pause)
                hints.hint()
            }
            // nil when the task was cancelled.
            let isOver = await changes.next(isolation: nil) == nil
            timer.cancel()
            if isOver { return }
            await work.run { [directories, logger] in
                do {
                    try directories.create()
                    try hints.renew()
                } catch {
                    logger.error("the file queue can't be watched; looking every few seconds: \(error)")
                }
            }
        }
    }

    private func open() async throws(OrchestratorError) -> DirectoryHints {
        let result = await work.run { [self] () -> Result<DirectoryHints, SystemError> in
            Result { () throws(SystemError) in
                try directories.create()
                let refused = try WholeFile.names(in: directories.failed).count { $0.hasSuffix(".error") }
                state.withLock { $0.refused = refused }
                return try DirectoryHints(directories.pending)
            }
        }
        switch result {
        case .success(let hints): return hints
        case .failure(let error):
            throw OrchestratorError(.internal, "the queue directory can't be used: \(error); check --queue-dir")
        }
    }

    // MARK: - Files

    /// The claims of the server's last life.
    private func recover() -> [Claim] {
        let names = (try? WholeFile.names(in: directories.claimed)) ?? []
        return names.sorted().compactMap { name in
            guard let stem = QueueDirectories.stem(of: name) else { return nil }
            let path = "\(directories.claimed)/\(name)"
            switch read(path, stem: stem) {
            case .task(let spec): return Claim(name: name, spec: spec)
            case .gone: return nil
            case .unfinished(let why), .refused(let why):
                refuse(path, name: name, why: why)
                return nil
            }
        }
    }

    private func scan() -> Scan {
        var scan = Scan()
        let names: [String]
        do {
            names = try WholeFile.names(in: directories.pending).filter(QueueDirectories.isTaskName).sorted()
        } catch {
            logger.error("the file queue can't be read: \(error)")
            return scan
        }
        var left = names.count
        for name in names {
            if scan.claims.count == Self.batch {
                scan.isFull = true
                break
            }
            let path = "\(directories.pending)/\(name)"
            guard let facts = try? WholeFile.facts(path), let stem = QueueDirectories.stem(of: name) else {
                left -= 1
                continue
            }
            switch read(path, stem: stem) {
            case .gone: left -= 1
            case .task(let spec):
                left -= 1
                if let claim = claim(name, facts: facts, stem: stem, spec: spec) { scan.claims.append(claim) }
            case .refused(let why):
                left -= 1
                refuse(path, name: name, why: why)
            case .unfinished(let why):
                switch unsettled.withLock({ $0.observed(name, facts, now: now()) }) {
                case .wait(let until): scan.nextLook = min(scan.nextLook ?? until, until)
                case .settled:
                    left -= 1
                    refuse(path, name: name, why: why)
                }
            }
        }
        if !scan.isFull { unsettled.withLock { $0.keep(Set(names)) } }
        state.withLock { state in
            state.pending = left
            state.scans += 1
        }
        return scan
    }

    private enum Content {
        case task(JobSpec)
        /// Perhaps still being written.
        case unfinished(String)
        case refused(String)
        case gone
    }

    private func read(_ path: String, stem: String) -> Content {
        do {
            let facts = try WholeFile.facts(path)
            guard facts.isRegular else {
                return .refused("it is not a regular file; links, directories and pipes are not followed")
            }
            guard facts.size <= configuration.maxFileBytes else {
                return .refused(
                    "it is larger than \(configuration.maxFileBytes) bytes; put the data into a file of its own and its "
                        + "path into the payload")
            }
            let spec = try QueueTask.parse(
                try WholeFile.read(path, limit: configuration.maxFileBytes), stem: stem)
            try admit(spec)
            return .task(spec)
        } catch let error as JSONError {
            return .unfinished("it is not valid JSON: \(error)")
        } catch let error as OrchestratorError {
            return .refused(error.message)
        } catch let error as SystemError where error.code == ENOENT || error.isShortage {
            if error.isShortage { logger.warning("a task file can't be read now: \(error)") }
            return .gone
        } catch {
            return .unfinished("it can't be read: \(error)")
        }
    }

    /// nil when another server was faster, or the file is no longer the one that was read.
    private func claim(_ name: String, facts: WholeFile.Facts, stem: String, spec: JobSpec) -> Claim? {
        let claimed = QueueDirectories.claimName(for: name) { !WholeFile.exists("\(directories.claimed)/\($0)") }
        let path = "\(directories.claimed)/\(claimed)"
        guard rename("\(directories.pending)/\(name)", path) == 0 else {
            if errno != ENOENT { logger.error("a task can't be claimed: \(SystemError("rename", path))") }
            return nil
        }
        if let now = try? WholeFile.facts(path), now == facts { return Claim(name: claimed, spec: spec) }
        switch read(path, stem: stem) {
        case .task(let spec): return Claim(name: claimed, spec: spec)
        case .gone: return nil
        case .unfinished(let why), .refused(let why):
            refuse(path, name: name, why: why)
            return nil
        }
    }

    /// Moves a file to `failed/`, with the reason beside it.
    private func refuse(_ path: String, name: String, why: String) {
        let name = QueueDirectories.refusalName(for: name) { candidate in
            !WholeFile.exists("\(directories.failed)/\(candidate)")
                && !WholeFile.exists("\(directories.failed)/\(candidate).error")
        }
        let target = "\(directories.failed)/\(name)"
        do {
            // The reason first: a file in failed/ always has one.
            try WholeFile.replace("\(target).error", with: Array("\(why)\n".utf8))
            guard rename(path, target) == 0 else {
                let error = SystemError("rename", path)
                unlink("\(target).error")
                throw error
            }
            state.withLock { $0.refused += 1 }
            logger.warning("refused a task file", metadata: ["file": "\(name)", "reason": "\(why)"])
        } catch {
            logger.error("a task file can't be moved to failed/: \(error)", metadata: ["reason": "\(why)"])
        }
    }

    // MARK: - Submission

    /// Submits until each has a verdict that lasts. While the ledger can't take more, no further file is claimed.
    private func submitUntilAccepted(_ claims: [Claim]) async {
        var left = claims
        // Before the submission: the job may end before its verdict is read here.
        for claim in claims { self.claims.add(claim.name, jobID: claim.spec.id) }
        var backoff = Duration.milliseconds(100)
        while !left.isEmpty, !Task.isCancelled {
            let batch = Array(left.prefix(Self.batch))
            let verdicts = await submit(batch.map(\.spec))
            var again: [Claim] = []
            var pause: Duration?
            for (claim, verdict) in zip(batch, verdicts) {
                switch verdict {
                case .success(let job):
                    if job.state.isTerminal { await ended(job) }
                case .failure(let error):
                    if let retryAfter = error.isWorthARetry {
                        again.append(claim)
                        pause = max(pause ?? .zero, retryAfter, backoff)
                        logger.warning("a task waits for the ledger: \(error)", metadata: ["id": "\(claim.spec.id)"])
                    } else {
                        self.claims.forget(claim.name, jobID: claim.spec.id)
                        await work.run { [self] in
                            refuse("\(directories.claimed)/\(claim.name)", name: claim.name, why: error.message)
                        }
                    }
                }
            }
            left = again + left.dropFirst(batch.count)
            if let pause {
                try? await Task.sleep(for: pause)
                backoff = min(backoff * 2, .seconds(30))
            }
        }
    }
}

extension OrchestratorError {
    /// How long to wait at least, when the same call may be answered otherwise later.
    fileprivate var isWorthARetry: Duration? {
        switch kind {
        case .resourceExhausted(let retryAfter): retryAfter
        case .unavailable, .internal: .zero
        case .invalidArgument, .notFound, .alreadyExists, .failedPrecondition, .outOfRange, .unimplemented: nil
        }
    }
}
