import Foundation
import GRDB
import Logging
import Synchronization

/// The durable truth about jobs and what happened to them.
///
/// All changes go through one writer with one fsync a batch, and a call that changes something returns only after that
/// fsync: what was answered survives a power cut. Reads come from memory, and from the database for what left it.
///
/// Close it when done; it holds a thread and the directory's lock.
public final class Ledger: Sendable {
    /// What happened, in order.
    public let events: EventLog

    /// Of this ledger, in the names of its batch jobs: 16 hexadecimal digits that no other one has.
    public let slurmIdentity: String

    private let configuration: Configuration
    private let database: DatabasePool
    private let index: JobIndex
    private let queue: CommandQueue
    private let observers: LedgerObservers
    private let encoders: Encoders
    private let rules: SubmissionRules
    private let jobIDs = JobIDs()
    private let now: @Sendable () -> Timestamp
    private let cursors: SinkCursors
    private let end = Completion()
    private let lock: DirectoryLock

    // MARK: Opening and closing

    /// Opens the ledger in a directory, creating both if missing.
    ///
    /// Jobs that were running when the last server ended are still running here: whoever runs jobs finds out what became
    /// of them.
    ///
    /// - Throws: `failedPrecondition` when the directory can't be used or another server uses it, or the database is
    ///   damaged or from a newer version.
    public static func open(
        _ configuration: Configuration, encoders: Encoders, logger: Logger,
        now: @escaping @Sendable () -> Timestamp = Timestamp.now
    ) throws(OrchestratorError) -> Ledger {
        try UsableDirectory.require(configuration.directory, setting: "data directory", isPrivate: true)
        let lock = try DirectoryLock(directory: configuration.directory)
        let store = try LedgerStore(configuration)
        let start = try store.start(configuration)
        return Ledger(
            configuration, store: store, start: start, lock: lock, encoders: encoders, logger: logger, now: now)
    }

    private init(
        _ configuration: Configuration, store: LedgerStore, start: LedgerStore.Start, lock: DirectoryLock,
        encoders: Encoders, logger: Logger, now: @escaping @Sendable () -> Timestamp
    ) {
        self.configuration = configuration
        self.encoders = encoders
        self.now = now
        database = store.database
        slurmIdentity = start.slurmIdentity
        self.lock = lock
        rules = SubmissionRules(
            maxPayloadBytes: configuration.maxPayloadBytes, acceptsSlurm: configuration.acceptsSlurm)
        index = JobIndex(recentJobs: configuration.recentJobs, recentBytes: configuration.recentJobBytes)
        index.load(start.jobs, totals: start.totals, dropped: start.droppedJobs)
        cursors = SinkCursors(start.cursors)
        queue = CommandQueue(limit: configuration.commandQueueLimit)
        observers = LedgerObservers()
        events = EventLog(
            database: store.database, configuration: configuration, oldest: start.oldestSequence,
            newest: start.newestEvents, lastSequence: start.lastSequence, encode: encoders.event)

        observers.history.withLock { $0 = start.kept.size }
        // The thread's alone from here on.
        nonisolated(unsafe) let writer = LedgerWriter(
            database: store.database, path: store.path, index: index, events: events, queue: queue,
            observers: observers, cursors: cursors, configuration: configuration, logger: logger, now: now,
            start: start)
        let thread = Thread { [end, database, observers] in
            writer.run()
            if let failure = writer.end {
                // Left as it is, and locked, until the process is gone: what the disk holds is for the next start to
                // find out.
                observers.end.withLock { $0 = failure }
                end.complete()
                return
            }
            do {
                try LedgerStore.close(database)
            } catch {
                // Nothing is lost: the write-ahead log is read at the next start.
                logger.warning("the ledger \(writer.path) did not close cleanly: \(error)")
            }
            lock.release()
            end.complete()
        }
        thread.name = "ledger"
        thread.stackSize = 1 << 20
        thread.start()
    }

    deinit { queue.close() }

    /// Commits what waits, folds the write-ahead log into the database and lets the directory go. Later changes are
    /// refused with `unavailable`. Harmless when done already.
    public func close() async {
        queue.close()
        await end.wait()
    }

    /// Returns when the ledger is closed.
    ///
    /// - Throws: `unavailable` when it ended by itself, because the disk failed or the database is damaged: nothing is
    ///   written any more, and the process should end. What was acknowledged is there at the next start.
    public func untilClosed() async throws(OrchestratorError) {
        await end.wait()
        if let failure = observers.end.withLock({ $0 }) { throw failure }
    }

    // MARK: Changing

    /// Accepts a job durably. The same id with the same content (all but the source) answers with the job that is there.
    ///
    /// - Throws: `invalidArgument`, `alreadyExists` naming what differs, `failedPrecondition` for gpu_slurm,
    ///   `resourceExhausted` when too much is open or waiting or the disk is full, `unavailable`.
    public func submit(_ spec: JobSpec) async throws -> Submission {
        try await withCheckedThrowingContinuation { caller in
            submit(spec) { caller.resume(with: $0.mapError { $0 }) }
        }
    }

    /// The same for those who wait without a task.
    ///
    /// - Parameter reply: called once, on this thread or the writer's, and quick: it only passes on what it is given.
    public func submit(
        _ spec: JobSpec, reply: @escaping @Sendable (Result<Submission, OrchestratorError>) -> Void
    ) {
        do throws(OrchestratorError) {
            let isNew = spec.id.isEmpty
            if let refusal = queue.push(.submit(try prepared(spec), isNew: isNew, reply)) {
                reply(.failure(error(for: refusal)))
            }
        } catch {
            reply(.failure(error))
        }
    }

    /// Jobs that one call of a client may submit.
    public static let largestBatch = 1_000

    /// Those of a client's batch that could be read and are admitted, in one transaction; the others keep the error that
    /// they have. In their order.
    public func submit(
        requests: [Result<JobSpec, OrchestratorError>], admit: (JobSpec) throws(OrchestratorError) -> Void
    ) async -> [Result<Submission, OrchestratorError>] {
        var verdicts: [Result<Submission, OrchestratorError>] = []
        var accepted: [(index: Int, spec: JobSpec)] = []
        for (index, request) in requests.enumerated() {
            do throws(OrchestratorError) {
                let spec = try request.get()
                try admit(spec)
                accepted.append((index, spec))
                verdicts.append(.failure(error(for: .closed)))
            } catch {
                verdicts.append(.failure(error))
            }
        }
        let results = await submit(accepted.map(\.spec))
        for (request, result) in zip(accepted, results) { verdicts[request.index] = result }
        return verdicts
    }

    /// Many in one transaction, each with its own verdict, in their order. They may depend on each other, in any order.
    public func submit(_ specs: [JobSpec]) async -> [Result<Submission, OrchestratorError>] {
        let order = DependencyOrder(specs)
        var verdicts = specs.map { _ in Result<Submission, OrchestratorError>.failure(error(for: .closed)) }
        for (position, circle) in order.circles { verdicts[position] = .failure(.dependencyCircle(circle)) }
        var refused = Set(order.circles.keys.map { specs[$0].id })
        var valid: [JobSpec] = []
        var positions: [Int] = []
        for position in order.order {
            do throws(OrchestratorError) {
                let spec = try prepared(specs[position])
                if let parent = spec.dependsOn.first(where: refused.contains) { throw .refusedParent(parent) }
                valid.append(spec)
                positions.append(position)
            } catch {
                verdicts[position] = .failure(error)
                if !specs[position].id.isEmpty { refused.insert(specs[position].id) }
            }
        }
        if valid.isEmpty { return verdicts }
        let results = await withCheckedContinuation { caller in
            if let refusal = queue.push(.submitMany(valid, { caller.resume(returning: $0) })) {
                caller.resume(returning: valid.map { _ in .failure(error(for: refusal)) })
            }
        }
        for (position, result) in zip(positions, results) { verdicts[position] = result }
        return verdicts
    }

    /// A queued job's next attempt begins: queued → running, `attempt` one higher. Whether its `notBefore` has come is
    /// the scheduler's affair.
    ///
    /// - Throws: `failedPrecondition` when the job is not queued (it may just have been cancelled), waits for others, is
    ///   another server's now or is past its deadline; `notFound`.
    public func start(_ id: String) async throws -> Job { try await change(id, .start) }

    /// An attempt ended: the job succeeds, fails, goes back into the queue for a retry, or is cancelled when somebody
    /// asked for that. A report on an older attempt or an ended job changes nothing.
    ///
    /// - Returns: the job as it now is.
    public func finish(_ id: String, attempt: UInt32, _ outcome: AttemptOutcome) async throws -> Job {
        try await change(id, .finish(attempt: attempt, outcome))
    }

    /// An attempt provably never ran: the job goes back into the queue, and the attempt does not count against its retry
    /// policy. The next one has the next number all the same.
    public func release(_ id: String, attempt: UInt32) async throws -> Job {
        try await change(id, .release(attempt: attempt))
    }

    /// Asks a job to end. A queued one, whatever it waits for, is cancelled at once; a running one gets its
    /// `cancelReason`, which its runner sees through `observe`; one whose task another server has is cancelled if the task
    /// comes back; an ended one stays as it is.
    ///
    /// - Parameters:
    ///   - reason: for people, at most 1024 bytes.
    ///   - source: rpc, http or server: that of the task_cancelled event.
    public func cancel(_ id: String, reason: String, source: String) async throws -> Job {
        guard reason.utf8.count <= 1_024 else {
            throw OrchestratorError.invalidArgument(
                "reason", "reason of \(reason.utf8.count) bytes: at most 1024 are allowed")
        }
        return try await change(id, .cancel(reason: reason, source: source))
    }

    /// The Slurm bridge did or learnt something about an attempt. A report on an older attempt or an ended job changes
    /// nothing.
    ///
    /// - Parameter attempt: that of the report; for `.intended` the one it begins, which is the job's next.
    /// - Throws: `failedPrecondition` for `.intended` when the job is not queued (it may just have been cancelled).
    public func slurm(_ id: String, attempt: UInt32, _ report: SlurmReport) async throws -> Job {
        try await change(id, .slurm(attempt: attempt, report))
    }

    /// What became of the task file of a job that came by the file queue. Late reports change nothing.
    func report(_ report: TaskReport, of id: String) async throws -> Job { try await change(id, .task(report)) }

    /// Adds an agent's event to the log, durably.
    ///
    /// - Throws: `invalidArgument`; `notFound` when the job it is about is not known; `alreadyExists` when its id is that of
    ///   another event; `resourceExhausted`, `unavailable`.
    public func publish(_ event: AgentEvent) async throws -> Publication {
        let event = try AgentEventRules(maxDataBytes: configuration.maxEventBytes).checked(event)
        return try await withCheckedThrowingContinuation { caller in
            if let refusal = queue.push(.publish(event, { caller.resume(with: $0.mapError { $0 }) })) {
                caller.resume(throwing: error(for: refusal))
            }
        }
    }

    /// Where a sink has come to. Not awaited: it is durable with the next commit, within a second, or at `close`.
    public func saveCursor(_ name: String, _ sequence: UInt64) {
        cursors[name] = sequence
        queue.saveCursor(name, sequence)
    }

    public func cursor(_ name: String) -> UInt64? { cursors[name] }

    /// From now on, and until the process ends, the retention by age and count drops no event, and no job, that this sink
    /// has not passed with a cursor. The bound on the database's size waits for no sink.
    public func waitForSink(_ name: String) { cursors.waitFor(name) }

    /// Has what is due by the clock looked at now, for a clock that a test sets.
    func nudge() { queue.nudge() }

    /// Has the retention, and what follows from the jobs' states, do what there is to do now.
    func sweep() async {
        await withCheckedContinuation { caller in
            if queue.push(.sweep(caller)) != nil { caller.resume() }
        }
    }

    private func prepared(_ spec: JobSpec) throws(OrchestratorError) -> JobSpec {
        var spec = try rules.checked(spec)
        if spec.id.isEmpty { spec.id = jobIDs.next(at: now()) }
        return spec
    }

    private func change(_ id: String, _ command: JobMachine.Command) async throws -> Job {
        try await withCheckedThrowingContinuation { caller in
            if let refusal = queue.push(.change(id, command, { caller.resume(with: $0.mapError { $0 }) })) {
                caller.resume(throwing: error(for: refusal))
            }
        }
    }

    private func error(for refusal: CommandQueue.Refusal) -> OrchestratorError {
        switch refusal {
        case .closed:
            OrchestratorError(.unavailable, "the server is stopping; retry when it is back").because(.serverStopping)
        case .full:
            OrchestratorError(
                .resourceExhausted(retryAfter: .seconds(1)),
                "\(configuration.commandQueueLimit) submissions wait for the disk already; retry in a second"
            ).because(.tooManySubmissions, ["limit": "\(configuration.commandQueueLimit)"])
        }
    }

    // MARK: Reading

    /// A job in memory: every open one and the newest ended ones. No I/O.
    public func cachedJob(_ id: String) -> Job? { index.row(id)?.job }

    /// A job, from memory or the database.
    ///
    /// - Throws: `notFound` naming the id; `unavailable` when the database can't be read.
    public func job(_ id: String) async throws -> Job { try await row(id).job }

    private func row(_ id: String) async throws -> JobRow {
        if let row = index.row(id) { return row }
        guard let row = try await read({ try JobRow.find(id, in: $0) }) else { throw OrchestratorError.noJob(id) }
        return row
    }

    /// The job whose newest batch job has this id in Slurm; the newest job, should Slurm have begun to count anew.
    ///
    /// - Throws: `notFound` naming the id; `unavailable` when the database can't be read.
    public func job(slurmJobID id: String) async throws -> Job {
        if id.isEmpty { throw OrchestratorError.noJob(id) }
        let found = try await read { database in
            try JobRow.find(slurmJobID: id, in: database)
        }
        guard let found else { throw OrchestratorError.noJob(id) }
        return try await job(found)
    }

    /// A cached job as `Encoders.job` writes it, made once per change: the path of a status call. `body` runs outside
    /// every lock.
    ///
    /// - Returns: false when the job is not in memory; `job` may still find it.
    public func withEncodedJob(_ id: String, _ body: (UnsafeRawBufferPointer) -> Void) -> Bool {
        // Not generic: that is not specialised across modules, and cost as much as the look-up.
        guard let image = index.image(id, encode: encoders.job) else { return false }
        image.withUnsafeBytes(body)
        return true
    }

    /// Jobs that have not ended, oldest submission first.
    public func openJobs() -> [Job] { index.openJobs() }

    /// A page of jobs, newest first, without payload and result.
    ///
    /// - Throws: `invalidArgument` for a limit or token that is none; `unavailable` when the database can't be read.
    public func list(_ query: JobQuery) async throws -> JobPage {
        let plan = try query.plan()
        return try await read { try plan.fetch($0) }
    }

    /// What there is of history.
    public var history: HistorySize { observers.history.withLock { $0 } }

    /// Every job there ever was, by its state now or, when the retention has taken it, at its end.
    public var totals: [JobState: Int] { index.totals }

    /// Jobs that have not ended, for every class.
    public var counts: [JobClass: OpenCount] { index.openCounts }

    /// Why the newest commit failed, in one line; nil when it did not.
    public var writeFailure: String? { observers.writeFailure.withLock { $0 } }

    private func read<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        do {
            return try await database.read(body)
        } catch let error as DatabaseError {
            throw OrchestratorError(.unavailable, "the ledger can't be read: \(error.line); retry").because(
                .ledgerUnavailable)
        }
    }

    // MARK: Following

    /// `observer` is called after each commit, in order, on the writer's thread: it must be quick and must not wait for
    /// the ledger. There is no way to stop it: it is part of the wiring.
    public func observe(_ observer: @escaping @Sendable (CommittedBatch) -> Void) { observers.add(observer) }

    /// A cursor over the events.
    ///
    /// - Parameters:
    ///   - after: sequence of the last event not wanted; 0 is from the oldest kept.
    ///   - fromNow: only events from now on; `after` must then be 0.
    ///   - endWhenDone: with job ids in the filter: it ends once each has had its terminal event.
    /// - Throws: `outOfRange` when `after` is ahead of the log or the event after it is no longer kept; `notFound` for an
    ///   unknown job with `endWhenDone`; `invalidArgument`.
    public func makeReader(
        after: UInt64, filter: EventFilter = .all, fromNow: Bool = false, endWhenDone: Bool = false
    ) async throws -> sending EventReader {
        let subscription = try await subscription(
            EventRequest(after: after, filter: filter, fromNow: fromNow, endWhenDone: endWhenDone))
        return EventReader(
            log: events, after: subscription.after, filter: subscription.filter, awaiting: subscription.awaited)
    }

    /// The same for a subscriber with an encoding of its own.
    public func follow(_ request: EventRequest, encoding: EventFollower.Encoding) async throws -> EventFollower {
        EventFollower(log: events, try await subscription(request), encoding: encoding)
    }

    private func subscription(_ request: EventRequest) async throws -> EventSubscription {
        let (after, filter) = (request.after, request.filter)
        // Before the jobs: one that is open now, whatever this says, has its terminal event after it.
        let last = events.lastSequence
        if request.fromNow, after != 0 {
            throw OrchestratorError.invalidArgument(
                "after_sequence", "after_sequence of \(after) with from_now: give one of the two")
        }
        guard filter.jobIDs.count <= 1_000 else {
            throw OrchestratorError.invalidArgument(
                "job_ids",
                "job_ids has \(filter.jobIDs.count) ids: at most 1000 are allowed; filter on your side instead")
        }
        if request.endWhenDone, filter.jobIDs.isEmpty {
            throw OrchestratorError.invalidArgument(
                "end_when_done", "end_when_done needs job_ids: name the jobs whose end is awaited")
        }
        guard after <= last else {
            throw OrchestratorError(
                .outOfRange(oldest: events.oldestSequence),
                "after_sequence \(after) is ahead of the newest event, \(last): it is from another ledger; start again "
                    + "from 0"
            ).because(.cursorAhead, ["newest_sequence": "\(last)"])
        }
        if after > 0, after < events.oldestSequence - 1 {
            throw OrchestratorError.noLongerKept(after: after, oldest: events.oldestSequence)
        }
        let cursor = request.fromNow ? last : after
        var awaited: AwaitedEnds?
        if request.endWhenDone {
            var ahead = AwaitedEnds()
            for id in filter.jobIDs.sorted() {
                let row = try await row(id)
                // A terminal event is a job's last.
                if !row.job.state.isTerminal || row.job.lastSequence > cursor {
                    ahead.add(id, submittedAt: row.number)
                }
            }
            awaited = ahead
        }
        return EventSubscription(after: cursor, filter: filter, awaited: awaited)
    }
}
