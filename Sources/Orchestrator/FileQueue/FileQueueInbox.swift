import CLinux
import Dispatch
import Glibc
import Logging
import Synchronization

/// Takes task files out of `pending/` and submits them.
///
/// ```
///  pending/a.json ──rename──► claimed/<owner>/a.json ──submit──► the ledger … done/a.json, and the claim is removed
///                                     └────────not a task────────► failed/a.json, failed/a.json.error
/// ```
/// The claim is the rename: of several servers on one directory one gets the file. What a server has claimed is its own,
/// across its restarts, as long as it keeps its `ClaimLease`: it submits that again at its start, which is the same job
/// when it was accepted before. What another has let go is taken over, and what was taken from this one while it showed
/// no sign of life is not run here any more.
final class FileQueueInbox: Sendable {
    struct Counts: Sendable {
        /// In `pending/` at the last look.
        var pending = 0
        /// Files in `failed/` that were refused, ever.
        var refused = 0
        /// Those among `pending` that wait for room.
        var unclaimed: [JobClass: Int] = [:]
        /// Looks at `pending/` so far.
        var scans = 0
    }

    /// A claimed file on its way to the ledger.
    private struct Claim: Sendable {
        var path: String
        var spec: JobSpec
    }

    /// What was found under this server's names.
    private struct Recovery: Sendable {
        var claims: [Claim] = []
        /// Some of it is another's now.
        var wasRevoked = false
        /// Names that are of no more use once `claims` are submitted.
        var formerOwners: [String] = []
    }

    /// What is to be done about files, all of it on `work`.
    private struct Desk {
        var lease: ClaimLease?
        /// Every name this server has or had claims under.
        var owners: Set<String> = []
        var foreign: ForeignClaims
        /// Names in `pending/` at the last listing that were not looked at yet, the next one last.
        var backlog: [String] = []
        /// Tasks that are left in `pending/` for now.
        var left = TasksLeft()
        /// Nothing more is claimed.
        var isStopped = false
        /// Something may be new in `pending/` since it was listed.
        var isListingOld = true
        /// Claimed, no task, and not in `failed/` yet, because that could not be written.
        var toRefuse: [(path: String, name: String, why: String)] = []
        var unsettled: UnsettledFiles
    }

    /// What one look at `pending/` found.
    private struct Scan: Sendable {
        var claims: [Claim] = []
        /// When a file that may still be written is to be looked at again.
        var nextLook: Timestamp?
        /// There was more than one batch.
        var isFull = false
        /// The claims are certainly this server's at the look's end.
        var isSure = false
    }

    /// Files per submission: enough to share one commit, few enough to keep the first from waiting for the last.
    private static let batch = 256

    private let configuration: FileQueueConfiguration
    private let directories: QueueDirectories
    private let claims: ClaimedFiles
    private let check: @Sendable (JobSpec) throws(OrchestratorError) -> Void
    private let submit: @Sendable ([JobSpec]) async -> [Result<Job, OrchestratorError>]
    private let ended: @Sendable (Job) async -> Void
    private let takenOver: @Sendable () async -> Void
    private let loads: (@Sendable () -> [JobClass: Scheduler.ClassLoad])?
    private let logger: Logger
    private let now: @Sendable () -> Timestamp
    private let work = DispatchQueue(label: "file-queue.inbox", qos: .userInitiated)
    private let desk: Mutex<Desk>
    private let state = Mutex(Counts())
    /// Those that wait for the first stocktaking; nil after it.
    private let stockWaiters = Mutex<[CheckedContinuation<Void, Never>]?>([])

    /// - Parameters:
    ///   - check: whether a payload can be run here.
    ///   - submit: gives each job's verdict, in their order.
    ///   - ended: a submitted job turned out to have ended before; leaves its done file.
    ///   - takenOver: all that is still this server's is in `claims`; what else the ledger has open of the queue is
    ///     another's.
    ///   - loads: how the classes stand here; nil claims without regard to that.
    ///   - now: a steady clock.
    init(
        configuration: FileQueueConfiguration, claims: ClaimedFiles, logger: Logger,
        now: @escaping @Sendable () -> Timestamp = Timestamp.steady,
        check: @escaping @Sendable (JobSpec) throws(OrchestratorError) -> Void = PayloadCommand.validate,
        submit: @escaping @Sendable ([JobSpec]) async -> [Result<Job, OrchestratorError>],
        ended: @escaping @Sendable (Job) async -> Void,
        takenOver: @escaping @Sendable () async -> Void,
        loads: (@Sendable () -> [JobClass: Scheduler.ClassLoad])? = nil
    ) {
        self.configuration = configuration
        self.claims = claims
        self.check = check
        self.submit = submit
        self.ended = ended
        self.takenOver = takenOver
        self.loads = loads
        self.logger = logger
        self.now = now
        directories = QueueDirectories(configuration.directory)
        desk = Mutex(
            Desk(
                foreign: ForeignClaims(defaultDuration: configuration.lease),
                unsettled: UnsettledFiles(settleTime: configuration.settleTime)))
    }

    var counts: Counts { state.withLock { $0 } }

    /// Tasks that wait in `pending/` for room, at the last look.
    var unclaimed: [JobClass: Int] { state.withLock { $0.unclaimed } }

    /// Creates the directories and works until the task is cancelled.
    func run() async throws(OrchestratorError) {
        defer { tellStockIsTaken() }
        let hints = try await open()
        claims.whenRemoved { [weak self] in
            // Where nothing waits for room there is nothing new to see.
            if self?.unclaimed.isEmpty == false { hints.hintOfRoom() }
        }
        let signs = Task { await showSigns(hints) }
        defer { signs.cancel() }
        var changes = hints.hints.makeAsyncIterator()
        while !Task.isCancelled {
            // One turn on `work` between a file's arrival and its submission: each costs two changes of thread.
            let isNews = hints.takeNews()
            var found = await work.run { [self] () -> Scan? in
                renewWatch(hints)
                return desk.withLock { desk in
                    if isNews { desk.isListingOld = true }
                    return desk.lease == nil ? nil : scan(&desk)
                }
            }
            if found == nil {
                await takeUp()
                found = await work.run { [self] in desk.withLock { scan(&$0) } }
            }
            let look = found ?? Scan()
            await submitUntilAccepted(look.claims, isSure: look.isSure)
            if look.isFull { continue }
            let timer = Task { [configuration, now] in
                var pause = min(configuration.rescanInterval, configuration.lease / 3)
                if let next = look.nextLook { pause = min(pause, max(.milliseconds(1), now().duration(to: next))) }
                try await Task.sleep(for: pause)
                hints.hint()
            }
            // nil when the task was cancelled.
            let isOver = await changes.next(isolation: nil) == nil
            timer.cancel()
            if isOver { break }
        }
        await work.run { [self] in
            desk.withLock { desk in
                if configuration.lendsWhenStopped { desk.lease?.revoke() }
                desk.lease?.end()
                desk.lease = nil
            }
        }
    }

    /// From now on nothing is claimed. What is stays so until `run` ends.
    func stopClaiming() async { await work.run { [self] in desk.withLock { $0.isStopped = true } } }

    /// The directories may have been removed or replaced.
    private func renewWatch(_ hints: DirectoryHints) {
        do {
            try directories.create()
            try hints.renew()
        } catch {
            logger.error("the file queue can't be watched; looking every few seconds: \(error)")
        }
    }

    /// Keeps the lease, however long a submission waits.
    private func showSigns(_ hints: DirectoryHints) async {
        while true {
            do { try await Task.sleep(for: configuration.lease / 4) } catch { return }
            if await !work.run({ [self] in desk.withLock { renew(&$0) } }) { hints.hint() }
        }
    }

    /// Takes the lease when there is none, with what was claimed under it before.
    private func takeUp() async {
        let recovery = await work.run { [self] () -> Recovery? in
            desk.withLock { desk in
                guard desk.lease == nil else { return nil }
                do {
                    return try acquire(&desk)
                } catch {
                    logger.error("tasks can't be claimed: \(error)")
                    return nil
                }
            }
        }
        guard let recovery else { return }
        await submitUntilAccepted(recovery.claims)
        if recovery.wasRevoked, !Task.isCancelled { await takenOver() }
        if !Task.isCancelled { tellStockIsTaken() }
        if !Task.isCancelled { await work.run { [self] in forget(recovery.formerOwners) } }
    }

    /// Returns when it is known which of this server's claims are still its own, or when `run` has ended.
    func untilStockIsTaken() async {
        await withCheckedContinuation { continuation in
            let isTaken = stockWaiters.withLock { waiters in
                waiters?.append(continuation)
                return waiters == nil
            }
            if isTaken { continuation.resume() }
        }
    }

    /// It is, or is not waited for any longer.
    func tellStockIsTaken() {
        let waiters = stockWaiters.withLock { waiters in
            defer { waiters = nil }
            return waiters ?? []
        }
        for waiter in waiters { waiter.resume() }
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

    /// False when the lease is not this server's any more.
    private func renew(_ desk: inout Desk) -> Bool {
        guard var lease = desk.lease else { return false }
        do {
            if try lease.renew(now: now()) == .renewed {
                desk.lease = lease
                return true
            }
        } catch {
            // A full disk, say. Others see the same silence as this does.
            logger.error("the claims' lease can't be renewed: \(error)")
            if lease.isSure(now: now()) { return true }
        }
        logger.warning("the claims' lease is lost; taking stock", metadata: ["owner": "\(lease.owner)"])
        lease.end()
        desk.lease = nil
        return false
    }

    /// This server's claims, under the name it had or a new one.
    private func acquire(_ desk: inout Desk) throws(SystemError) -> Recovery {
        try directories.create()
        let owners = ClaimOwners(path: configuration.ownerFile)
        var names = owners.read()
        var recovery = Recovery()
        if let newest = names.last {
            switch try ClaimLease.take(
                owner: newest, in: directories.claimed, duration: configuration.lease, now: now())
            {
            case .taken(let lease): desk.lease = lease
            case .revoked: break
            case .held: names.removeLast()
            }
        }
        if desk.lease == nil {
            let name = ClaimOwners.newName()
            names.append(name)
            // Before anything is claimed under it.
            try owners.write(names)
            if case .taken(let lease) = try ClaimLease.take(
                owner: name, in: directories.claimed, duration: configuration.lease, now: now())
            {
                desk.lease = lease
            }
        }
        guard let lease = desk.lease else { return recovery }
        desk.owners = Set(names)
        claims.forgetAll()
        recovery.formerOwners = names.filter { $0 != lease.owner }
        for name in recovery.formerOwners {
            let directory = "\(directories.claimed)/\(name)"
            if WholeFile.exists("\(directory)/\(ClaimLease.tombstone)") { recovery.wasRevoked = true }
            takeAll(from: directory, lease)
        }
        // Claims of a version that had no owners.
        takeAll(from: directories.claimed, lease)
        recovery.claims = claims(in: lease.directory, &desk)
        return recovery
    }

    /// Former names, once what was claimed under them is.
    private func forget(_ owners: [String]) {
        guard !owners.isEmpty else { return }
        for owner in owners {
            let directory = "\(directories.claimed)/\(owner)"
            unlink("\(directory)/\(ClaimLease.tombstone)")
            unlink("\(directory)/\(ClaimLease.file)")
            rmdir(directory)
        }
        let file = ClaimOwners(path: configuration.ownerFile)
        do {
            try file.write(file.read().filter { !owners.contains($0) })
        } catch {
            logger.error("former names can't be forgotten: \(error)")
        }
    }

    /// Moves claims into this server's directory; each goes to the first who asks.
    @discardableResult
    private func takeAll(from directory: String, _ lease: ClaimLease) -> [String] {
        claimNames(in: directory).compactMap { name in
            let target = "\(lease.directory)/\(freeName(for: name, lease))"
            return rename("\(directory)/\(name)", target) == 0 ? target : nil
        }
    }

    private func claimNames(in directory: String) -> [String] {
        ((try? WholeFile.names(in: directory)) ?? []).filter {
            !$0.hasPrefix(".") && QueueDirectories.stem(of: $0) != nil
        }.sorted()
    }

    private func freeName(for name: String, _ lease: ClaimLease) -> String {
        QueueDirectories.claimName(for: name) { !WholeFile.exists("\(lease.directory)/\($0)") }
    }

    /// The tasks in a directory of claims; what is none is refused.
    private func claims(in directory: String, _ desk: inout Desk) -> [Claim] {
        let names = ((try? WholeFile.names(in: directory)) ?? []).filter { !$0.hasPrefix(".") }
        return names.sorted().compactMap { claim(at: "\(directory)/\($0)", name: $0, &desk) }
    }

    private func claim(at path: String, name: String, _ desk: inout Desk) -> Claim? {
        guard let stem = QueueDirectories.stem(of: name) else { return nil }
        switch read(path, stem: stem) {
        case .task(let spec): return Claim(path: path, spec: spec)
        case .gone: return nil
        case .elsewhere:
            // Claimed when this class was still run here. A name that is taken has to wait.
            _ = clinux_rename_exclusively(path, "\(directories.pending)/\(stem).json")
            return nil
        case .unfinished(let why), .refused(let why):
            refuse(path, name: name, why: why, &desk)
            return nil
        }
    }

    private func scan(_ desk: inout Desk) -> Scan {
        var scan = Scan()
        guard let lease = desk.lease, lease.isSure(now: now()), !desk.isStopped else { return scan }
        for refusal in exchange(&desk.toRefuse, with: []) {
            refuse(refusal.path, name: refusal.name, why: refusal.why, &desk)
        }
        var room = takeOver(&desk, lease, &scan)
        if desk.backlog.isEmpty, desk.isListingOld {
            do {
                let names = try WholeFile.rawNames(in: directories.pending)
                let tasks = names.compactMap { String(validating: $0, as: UTF8.self) }
                    .filter(QueueDirectories.isTaskName).sorted()
                desk.unsettled.keep(Set(tasks))
                desk.backlog = desk.left.keep(tasks).reversed()
                desk.isListingOld = false
                for name in names where String(validating: name, as: UTF8.self) == nil {
                    refuseUnreadable(name, lease, &desk)
                }
            } catch {
                logger.error("the file queue can't be read: \(error)")
                return scan
            }
        }
        var waiting = 0
        // Those that have waited for room first.
        while scan.claims.count < Self.batch, let name = desk.left.next(room) ?? desk.backlog.popLast() {
            let path = "\(directories.pending)/\(name)"
            guard let facts = try? WholeFile.facts(path), let stem = QueueDirectories.stem(of: name) else { continue }
            switch read(path, stem: stem) {
            case .gone: break
            case .elsewhere(let jobClass): desk.left.add(name, jobClass)
            case .task(let spec):
                guard room.take(spec.jobClass) else {
                    desk.left.add(name, spec.jobClass)
                    continue
                }
                if let claim = claim(name, facts: facts, spec: spec, lease, &desk) { scan.claims.append(claim) }
            case .refused:
                // The claim says why once more, of the file that was claimed.
                if let claim = claim(name, facts: facts, spec: nil, lease, &desk) { scan.claims.append(claim) }
            case .unfinished:
                switch desk.unsettled.observed(name, facts, now: now()) {
                case .wait(let until):
                    waiting += 1
                    // It is looked at again with the next listing.
                    desk.isListingOld = true
                    scan.nextLook = min(scan.nextLook ?? until, until)
                case .settled:
                    if let claim = claim(name, facts: facts, spec: nil, lease, &desk) { scan.claims.append(claim) }
                }
            }
        }
        scan.isFull = scan.claims.count >= Self.batch
        scan.isSure = lease.isSure(now: now())
        let unclaimed = desk.left.counts.filter { configuration.classes.contains($0.key) }
        let pending = desk.backlog.count + waiting + unclaimed.values.reduce(0, +)
        state.withLock { state in
            state.pending = pending
            state.unclaimed = unclaimed
            state.scans += 1
        }
        return scan
    }

    /// What other owners have let go, as far as there is room. Returns the room that is left.
    private func takeOver(_ desk: inout Desk, _ lease: ClaimLease, _ scan: inout Scan) -> ClaimRoom {
        let abandoned = desk.foreign.look(in: directories.claimed, own: desk.owners, now: now())
        var room = ClaimRoom.unlimited(configuration.classes)
        if let loads, configuration.claimsOnlyRoom || desk.foreign.hasLiving {
            room = ClaimRoom(configuration.classes, loads: loads(), claimed: claims.counts)
        }
        for abandoned in abandoned {
            if abandoned.isNew {
                logger.warning(
                    "an owner of claims shows no sign of life; taking over",
                    metadata: ["claims": "\(abandoned.directory)"])
            }
            for name in claimNames(in: abandoned.directory) {
                let path = "\(abandoned.directory)/\(name)"
                if case .task(let spec) = read(path, stem: QueueDirectories.stem(of: name) ?? name) {
                    guard room.take(spec.jobClass) else { continue }
                } else if isElsewhere(path) {
                    continue
                }
                let target = "\(lease.directory)/\(freeName(for: name, lease))"
                guard rename(path, target) == 0 else { continue }
                let own = String(target.dropFirst(lease.directory.count + 1))
                if let claim = claim(at: target, name: own, &desk) { scan.claims.append(claim) }
            }
        }
        return room
    }

    private func isElsewhere(_ path: String) -> Bool {
        if case .elsewhere = read(path, stem: "any") { return true }
        return false
    }

    private enum Content {
        case task(JobSpec)
        /// Perhaps still being written.
        case unfinished(String)
        case refused(String)
        /// Of a class that is not run here.
        case elsewhere(JobClass)
        case gone
    }

    private func read(_ path: String, stem: String) -> Content {
        do {
            let facts = try WholeFile.facts(path)
            guard facts.isRegular else {
                return .refused("it is not a regular file; links, directories and pipes are not followed")
            }
            guard facts.links <= 1 else {
                // Perhaps on its way in: linked here, and about to be unlinked where it was written.
                return .unfinished("it is a hard link, which could be changed by its other name; copy the file instead")
            }
            guard facts.size <= configuration.maxFileBytes else {
                return .refused(
                    "it is larger than \(configuration.maxFileBytes) bytes; put the data into a file of its own and its "
                        + "path into the payload")
            }
            let spec = try QueueTask.parse(
                try WholeFile.read(path, limit: configuration.maxFileBytes), stem: stem)
            guard configuration.classes.contains(spec.jobClass) else { return .elsewhere(spec.jobClass) }
            try check(spec)
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

    /// nil when another server was faster, or what was claimed is no task.
    ///
    /// - Parameter spec: what was read; nil when that was no task.
    private func claim(
        _ name: String, facts: WholeFile.Facts, spec: JobSpec?, _ lease: ClaimLease, _ desk: inout Desk
    ) -> Claim? {
        let path = "\(lease.directory)/\(freeName(for: name, lease))"
        guard rename("\(directories.pending)/\(name)", path) == 0 else {
            if errno != ENOENT { logger.error("a task can't be claimed: \(SystemError("rename", path))") }
            return nil
        }
        if let spec, let now = try? WholeFile.facts(path), now == facts { return Claim(path: path, spec: spec) }
        // Perhaps no longer the file that was read.
        return claim(at: path, name: name, &desk)
    }

    /// A name that is not UTF-8, which only its bytes lead to.
    private func refuseUnreadable(_ rawName: [UInt8], _ lease: ClaimLease, _ desk: inout Desk) {
        let name = String(decoding: rawName, as: UTF8.self)
        guard QueueDirectories.isTaskName(name) else { return }
        let claim = "\(lease.directory)/\(freeName(for: name, lease))"
        let path = Array("\(directories.pending)/".utf8) + rawName + [0]
        let isClaimed = path.withUnsafeBytes { bytes in
            bytes.withMemoryRebound(to: CChar.self) { rename($0.baseAddress!, claim) == 0 }
        }
        if isClaimed {
            refuse(claim, name: name, why: "its name is not UTF-8; rename it and drop it again", &desk)
        } else if errno != ENOENT {
            logger.error("a task can't be claimed: \(SystemError("rename", claim))")
        }
    }

    /// Moves a claimed file to `failed/`, with the reason beside it.
    private func refuse(_ path: String, name: String, why: String, _ desk: inout Desk) {
        do {
            try moveToFailed(path, name: name, why: why)
        } catch {
            desk.toRefuse.append((path, name, why))
            logger.error("a task file can't be moved to failed/ now: \(error)", metadata: ["reason": "\(why)"])
        }
    }

    private func moveToFailed(_ path: String, name: String, why: String) throws(SystemError) {
        var taken: Set<String> = []
        while true {
            let name = QueueDirectories.refusalName(for: name) { candidate in
                !taken.contains(candidate) && !WholeFile.exists("\(directories.failed)/\(candidate)")
                    && !WholeFile.exists("\(directories.failed)/\(candidate).error")
            }
            let target = "\(directories.failed)/\(name)"
            do throws(SystemError) {
                // The reason first: a file in failed/ always has one. It also reserves the name among servers.
                try WholeFile.create("\(target).error", with: Array("\(why)\n".utf8))
                do throws(SystemError) {
                    try WholeFile.move(path, to: target)
                } catch {
                    unlink("\(target).error")
                    throw error
                }
            } catch  where error.code == EEXIST {
                taken.insert(name)
                continue
            } catch  where error.code == ENOENT && !WholeFile.exists(path) {
                return
            }
            state.withLock { $0.refused += 1 }
            logger.warning("refused a task file", metadata: ["file": "\(name)", "reason": "\(why)"])
            return
        }
    }

    // MARK: - Submission

    /// False also lets the lease go, so that it is taken anew with whatever was claimed under it: what is not submitted
    /// now must not be forgotten when nobody had taken it away after all.
    private func isStillSure(_ desk: inout Desk) -> Bool {
        if desk.lease?.isSure(now: now()) == true { return true }
        desk.lease?.end()
        desk.lease = nil
        return false
    }

    /// Submits until each has a verdict that lasts. While the ledger can't take more, no further file is claimed.
    ///
    /// - Parameter isSure: they were looked at just now.
    private func submitUntilAccepted(_ claims: [Claim], isSure: Bool = false) async {
        var isSure = isSure
        var left = claims[...]
        // Before the submission: the job may end before its verdict is read here.
        for claim in claims { self.claims.add(claim.path, jobID: claim.spec.id, jobClass: claim.spec.jobClass) }
        var backoff = Duration.milliseconds(100)
        while !left.isEmpty, !Task.isCancelled {
            // Another server may have taken them over meanwhile: this one then takes stock first.
            if !isSure { isSure = await work.run { [self] in desk.withLock { isStillSure(&$0) } } }
            guard isSure else { return }
            isSure = false
            let batch = left.prefix(Self.batch)
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
                        logger.warning("a task waits for the ledger: \(error)", metadata: .job(claim.spec))
                    } else {
                        self.claims.forget(claim.path, jobID: claim.spec.id)
                        await work.run { [self] in
                            let name = claim.path.split(separator: "/").last.map(String.init) ?? claim.path
                            desk.withLock { refuse(claim.path, name: name, why: error.message, &$0) }
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

/// The old value of a place that gets a new one.
private func exchange<Value>(_ place: inout Value, with value: Value) -> Value {
    defer { place = value }
    return place
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
