import Glibc
import Logging
import Synchronization

/// Runs the ledger's jobs on this machine: starts what is due, follows it to its end, tells the ledger, passes cancels on,
/// and at the start finds out what became of the attempts of the server's last life.
///
/// It decides nothing itself: which job is next is `SchedulerCore`'s, what a job's state becomes is the ledger's.
public final class Scheduler: Sendable {
    /// How a class stands.
    public struct ClassLoad: Sendable, Equatable {
        public var limit: Int
        public var inFlight: Int
        /// Waiting for a slot or for the end of a back-off.
        public var waiting: Int

        public init(limit: Int, inFlight: Int, waiting: Int) {
            self.limit = limit
            self.inFlight = inFlight
            self.waiting = waiting
        }
    }

    private struct State {
        var core: SchedulerCore
        /// Attempts being followed.
        var attempts: [SchedulerCore.Slot: Job] = [:]
        /// Starts and attempts that are not over yet.
        var unfinished = 0
        /// Why everything that still runs was told to stop; nil until it was.
        var stopMessage: String?
        var idleWaiters: [CheckedContinuation<Void, Never>] = []
        var adaptive: [JobClass: AdaptiveLimit] = [:]
        /// What the classes with an adaptive limit saw since they were last asked.
        var seen: [JobClass: AdaptiveLimit.Observation] = [:]
        /// Tasks that wait for a place, and are not in the ledger yet.
        var unclaimed: @Sendable () -> [JobClass: Int] = { [:] }
        var timer: (at: Timestamp, task: Task<Void, Never>)?
    }

    private let ledger: Ledger
    private let runner: Runner
    private let givesBack: Bool
    private let logger: Logger
    /// Steady: setting the wall clock must neither hold jobs up nor hurry them.
    private let now: @Sendable () -> Timestamp
    private let state: Mutex<State>
    /// What the machine says; a test says something else.
    let pressure = Mutex<@Sendable () -> MachinePressure>(MachinePressure.now)
    private let wakes: AsyncStream<Void>
    private let wake: AsyncStream<Void>.Continuation

    /// - Parameter givesBack: whether what a drain stops waits to be started again, here or elsewhere; otherwise it has
    ///   failed.
    public init(
        limits: ConcurrencyLimits = .defaults(), ledger: Ledger, runner: Runner, givesBack: Bool = false,
        logger: Logger,
        now: @escaping @Sendable () -> Timestamp = Timestamp.steady
    ) {
        self.ledger = ledger
        self.runner = runner
        self.givesBack = givesBack
        self.logger = logger
        self.now = now
        state = Mutex(
            State(
                core: SchedulerCore(limits: limits.byClass), adaptive: limits.adaptive.mapValues { AdaptiveLimit($0) }))
        (wakes, wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Takes on what the ledger has open, then starts jobs as they come until the task is cancelled; attempts that run
    /// then go on until `drain`. To be called once.
    public func run() async {
        // First, so that nothing falls between the look at what is open and what happens after it.
        ledger.observe { [weak self] batch in self?.committed(batch) }
        for job in ledger.openJobs() where job.jobClass.isLocal {
            switch job.state {
            case .queued where !job.waitsForItsTurn: break
            case .queued: state.withLock { _ = $0.core.enqueued(ClassQueue.Entry(job), job.jobClass) }
            case .running: adopt(job)
            case .submitted, .succeeded, .failed, .cancelled: break
            }
        }
        wake.yield()
        let adapting = Task { [weak self] in
            while let self, adapt(pressure: pressure.withLock { $0 }()) { try await Task.sleep(for: .seconds(1)) }
        }
        for await _ in wakes { startDue() }
        adapting.cancel()
    }

    /// Starts nothing more, waits up to `grace` for what runs, then stops the rest, which fails with RUNNER_ERROR and is
    /// retried by the next server where its policy says so. Returns when nothing runs any more and the ledger knows.
    public func drain(grace: Duration) async {
        state.withLock { $0.core.drained() }
        let timer = Task { [weak self] in
            try await Task.sleep(for: grace)
            self?.stopAll("stopped with the server after a grace of \(AttemptEnd.seconds(grace))")
        }
        await withCheckedContinuation { continuation in
            let isIdle = state.withLock { state in
                if state.unfinished > 0 { state.idleWaiters.append(continuation) }
                return state.unfinished == 0
            }
            if isIdle { continuation.resume() }
        }
        timer.cancel()
        await runner.close()
    }

    /// Each local class's limit and load, for metrics.
    public var loads: [JobClass: ClassLoad] {
        state.withLock { $0.core.loads }
            .mapValues { ClassLoad(limit: $0.limit, inFlight: $0.inFlight, waiting: $0.waiting) }
    }

    // MARK: - What the ledger tells

    /// On the ledger's thread.
    private func committed(_ batch: CommittedBatch) {
        var isNews = false
        var toCancel: [Job] = []
        state.withLock { state in
            for change in batch.changes where change.job.jobClass.isLocal {
                let job = change.job
                switch job.state {
                case .queued:
                    guard job.waitsForItsTurn else {
                        state.core.withdrawn(job.key, job.jobClass)
                        continue
                    }
                    guard change.oldState != .queued else { continue }
                    if state.core.enqueued(ClassQueue.Entry(job), job.jobClass) { isNews = true }
                case .running:
                    if job.isToStop { toCancel.append(job) }
                case .succeeded, .failed, .cancelled:
                    if change.oldState == .queued { state.core.withdrawn(job.key, job.jobClass) }
                case .submitted: break
                }
            }
            for job in batch.released where job.jobClass.isLocal {
                if state.core.enqueued(ClassQueue.Entry(job), job.jobClass) { isNews = true }
            }
        }
        // One whose attempt is not followed yet is seen by `run`'s own look at the ledger.
        for job in toCancel { runner.cancel(jobID: job.id, attempt: job.attempt) }
        if isNews { wake.yield() }
    }

    // MARK: - Adapting

    /// Asks for tasks that are claimed only when there is a place for them: they are reason enough for another one.
    public func follow(_ fileQueue: FileQueue) {
        state.withLock { $0.unclaimed = { [weak fileQueue] in fileQueue?.unclaimed ?? [:] } }
    }

    /// One step of every adaptive limit; false when there are none.
    private func adapt(pressure: MachinePressure) -> Bool {
        let unclaimed = state.withLock { $0.unclaimed }()
        let isAdaptive = state.withLock { state in
            let loads = state.core.loads
            for (jobClass, var limit) in state.adaptive {
                var seen = state.seen[jobClass] ?? AdaptiveLimit.Observation()
                seen.pressure = pressure
                seen.waiting = (loads[jobClass]?.waiting ?? 0) + (unclaimed[jobClass] ?? 0)
                seen.inFlight = max(seen.inFlight, loads[jobClass]?.inFlight ?? 0)
                state.core.limited(jobClass, to: limit.observed(seen))
                state.adaptive[jobClass] = limit
            }
            state.seen = [:]
            return !state.adaptive.isEmpty
        }
        if isAdaptive { wake.yield() }
        return isAdaptive
    }

    private func started(_ job: Job) {
        state.withLock { state in
            guard state.adaptive[job.jobClass] != nil else { return }
            let inFlight = state.core.loads[job.jobClass]?.inFlight ?? 0
            var seen = state.seen[job.jobClass] ?? AdaptiveLimit.Observation()
            // A later attempt's wait is mostly its back-off.
            if job.attempt == 1, let startedAt = job.startedAt {
                seen.longestWait = max(seen.longestWait, job.submittedAt.duration(to: startedAt))
            }
            seen.inFlight = max(seen.inFlight, inFlight)
            state.seen[job.jobClass] = seen
        }
    }

    private func ended(_ job: Job, _ outcome: AttemptOutcome) {
        let isStrained =
            switch outcome.failure {
            case .outOfMemory, .timeout, .lost: true
            // The kernel's, when the whole machine is out of memory.
            default: outcome.signal == SIGKILL
            }
        state.withLock { state in
            guard state.adaptive[job.jobClass] != nil else { return }
            state.seen[job.jobClass, default: AdaptiveLimit.Observation()].ended += 1
            if isStrained { state.seen[job.jobClass]?.strained += 1 }
        }
    }

    // MARK: - Starting

    private func startDue() {
        let starts = state.withLock { state in
            let actions = state.core.next(now: now())
            state.unfinished += actions.starts.count
            setTimer(actions.wakeAt, &state)
            return actions.starts
        }
        for start in starts { Task { await run(start) } }
    }

    private func setTimer(_ time: Timestamp?, _ state: inout State) {
        guard let time else { return }
        if let timer = state.timer, timer.at <= time, timer.at > now() { return }
        state.timer?.task.cancel()
        let pause = max(.milliseconds(1), now().duration(to: time))
        let task = Task { [wake] in
            do { try await Task.sleep(for: pause) } catch { return }
            wake.yield()
        }
        state.timer = (time, task)
    }

    private func run(_ start: SchedulerCore.Start) async {
        defer { finished() }
        let job: Job
        do {
            job = try await ledger.start(start.id)
        } catch {
            gaveUp(start, error)
            return
        }
        follow(job, start.slot)
        started(job)
        let result = await runner.run(job, isCancelled: { [self] in isToStop(job) })
        switch result {
        case .ended(let outcome):
            ended(job, outcome)
            ceased(start.slot, machineIsShort: false)
            await report(job, outcome)
        case .cancelled(let outcome):
            ceased(start.slot, machineIsShort: false)
            if givesBack, state.withLock({ $0.stopMessage != nil }) {
                await giveBack(job)
            } else {
                await report(job, stopped(outcome))
            }
        case .notStarted(let reason):
            logger.warning(
                "an attempt could not be started and will be again: \(reason)", metadata: .job(job))
            ceased(start.slot, machineIsShort: true)
            await giveBack(job)
        }
    }

    /// An attempt that the ledger has as running from the server's last life.
    private func adopt(_ job: Job) {
        let slot = state.withLock { state in
            state.unfinished += 1
            return state.core.adopted(job.jobClass)
        }
        Task {
            defer { finished() }
            follow(job, slot)
            let found = await runner.reconcile(job, isCancelled: { [self] in isToStop(job) })
            ceased(slot, machineIsShort: false)
            switch found {
            case .ended(let outcome): await report(job, outcome)
            case .cancelled(let outcome): await report(job, stopped(outcome))
            case .neverStarted, .interrupted: await giveBack(job)
            }
        }
    }

    private func isToStop(_ job: Job) -> Bool {
        state.withLock { $0.stopMessage != nil } || ledger.cachedJob(job.id)?.isToStop == true
    }

    private func follow(_ job: Job, _ slot: SchedulerCore.Slot) {
        state.withLock { $0.attempts[slot] = job }
    }

    /// The process is gone, and its slot free: before the ledger knows, so that the next start shares its commit.
    private func ceased(_ slot: SchedulerCore.Slot, machineIsShort: Bool) {
        state.withLock { state in
            state.attempts[slot] = nil
            state.core.ended(slot)
            if machineIsShort { state.core.startFailed(now: now()) } else { state.core.startSucceeded() }
        }
        wake.yield()
    }

    /// The ledger did not start the job: it was cancelled in between, or nothing can be written now.
    private func gaveUp(_ start: SchedulerCore.Start, _ error: any Error) {
        let job = ledger.cachedJob(start.id)
        state.withLock { state in
            state.core.ended(start.slot)
            guard let job, job.waitsForItsTurn else { return }
            var entry = ClassQueue.Entry(job)
            entry.notBefore = max(entry.notBefore ?? now(), now().advanced(by: .seconds(1)))
            state.core.enqueued(entry, job.jobClass)
        }
        if let job, job.waitsForItsTurn {
            logger.warning("a job could not be started and will be again: \(error)", metadata: .job(job))
        }
        wake.yield()
    }

    // MARK: - Ending

    private func stopAll(_ message: String) {
        let attempts = state.withLock { state in
            state.stopMessage = message
            return Array(state.attempts.values)
        }
        for job in attempts { runner.cancel(jobID: job.id, attempt: job.attempt) }
    }

    private func stopped(_ outcome: AttemptOutcome) -> AttemptOutcome {
        guard let message = state.withLock({ $0.stopMessage }) else { return outcome }
        var outcome = outcome
        outcome.failure = .runnerError
        outcome.error = message
        return outcome
    }

    private func report(_ job: Job, _ outcome: AttemptOutcome) async {
        var outcome = outcome
        outcome.outputBytes = await runner.outputBytes(of: job)
        await tell(job) { [ledger, outcome] in _ = try await ledger.finish(job.id, attempt: job.attempt, outcome) }
    }

    private func giveBack(_ job: Job) async {
        await tell(job) { [ledger] in _ = try await ledger.release(job.id, attempt: job.attempt) }
    }

    /// Until the ledger takes it: the outcome is durable in the attempt's directory meanwhile. A server that is being
    /// stopped tries a few times only, as the next one finds it there.
    private func tell(_ job: Job, _ message: @Sendable () async throws -> Void) async {
        var tries = 0
        var backoff = Duration.milliseconds(100)
        while true {
            do {
                try await message()
                return
            } catch {
                tries += 1
                var metadata: Logger.Metadata = .job(job)
                metadata["attempt"] = "\(job.attempt)"
                logger.error("the end of an attempt can't be recorded now: \(error)", metadata: metadata)
                if tries >= 3, state.withLock({ $0.stopMessage != nil }) { return }
                try? await Task.sleep(for: backoff)
                backoff = min(backoff * 2, .seconds(10))
            }
        }
    }

    /// A start or an adopted attempt is over, and the ledger knows.
    private func finished() {
        let waiters = state.withLock { state in
            state.unfinished -= 1
            guard state.unfinished == 0 else { return [CheckedContinuation<Void, Never>]() }
            defer { state.idleWaiters = [] }
            return state.idleWaiters
        }
        for waiter in waiters { waiter.resume() }
    }
}
