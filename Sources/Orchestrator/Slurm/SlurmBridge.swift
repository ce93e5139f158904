import Dispatch
import Logging
import Synchronization

/// Takes jobs of class gpu_slurm to Slurm and back. It decides little: what a job's state becomes is the ledger's, what
/// the sides say about a batch job means is `SlurmReconciler`'s. It starts commands, keeps time, and tells the ledger.
///
/// One look at the queue tells of all jobs; accounting is asked only for those that left it; and a job's own wrapper
/// rings when it starts and ends.
public actor SlurmBridge {
    let ledger: Ledger
    let client: SlurmClient
    nonisolated let files: SlurmFiles
    let configuration: SlurmConfiguration
    let metrics: SlurmMetrics
    let logger: Logger
    /// Steady: setting the wall clock must neither lose jobs nor hurry them.
    let now: @Sendable () -> Timestamp
    nonisolated let templates: [String: SlurmTemplate]
    let reconciler: SlurmReconciler
    /// Reading what jobs left: blocking calls off the tasks' threads.
    let collecting = DispatchQueue(label: "slurm.collect", attributes: .concurrent)

    var tracks: [String: SlurmTrack] = [:]
    /// Job ids by the names of their batch jobs.
    var names: [String: String] = [:]
    /// Ended jobs of which accounting shall still say what they used.
    var unmeasured: [UnmeasuredJob] = []
    /// Words that were logged as unknown; some are enough.
    var unknownWords: Set<String> = []
    private var waiting = ClassQueue()
    private var submitting = 0
    /// Of these, without a track yet.
    var intending = 0
    private var pace: PollPace
    private var nextPoll: ContinuousClock.Instant
    private var isPolling = false
    private var isStopping = false
    private var timer: Task<Void, Never>?
    private var waiters: [String: [CheckedContinuation<Void, Never>]] = [:]
    private var idleWaiters: [CheckedContinuation<Void, Never>] = []
    /// Tasks that will tell the ledger something.
    private var unfinished = 0

    private nonisolated let inbox = Mutex<[CommittedBatch.Change]>([])
    nonisolated let outage = Mutex<String?>(nil)
    private nonisolated let states = Mutex<[String: Int]>([:])
    private nonisolated let wakes: AsyncStream<Void>
    private nonisolated let wake: AsyncStream<Void>.Continuation

    /// sbatch commands at once.
    private static let submitters = 4
    /// Between two looks at the bells.
    private static let bellInterval = Duration.milliseconds(100)

    /// - Throws: `failedPrecondition` when a program of Slurm's is missing, the jobs directory can't be used, or a template
    ///   is not in order.
    public init(
        _ configuration: SlurmConfiguration, ledger: Ledger, metrics: SlurmMetrics,
        serverEnvironment: [String: String], logger: Logger,
        now: @escaping @Sendable () -> Timestamp = Timestamp.steady
    ) throws(OrchestratorError) {
        self.configuration = configuration
        self.ledger = ledger
        self.metrics = metrics
        self.logger = logger
        self.now = now
        client = try SlurmClient(configuration, serverEnvironment: serverEnvironment, metrics: metrics)
        files = try SlurmFiles(configuration, serverEnvironment: serverEnvironment)
        if let directory = configuration.templateDirectory {
            templates = try SlurmTemplate.all(in: directory)
            let names = templates.keys.sorted().joined(separator: ", ")
            logger.info("batch templates of \(directory): \(names.isEmpty ? "none" : names)")
        } else {
            templates = [:]
        }
        reconciler = SlurmReconciler(lostAfter: configuration.lostAfter)
        pace = PollPace(interval: configuration.pollInterval)
        nextPoll = .now
        (wakes, wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        metrics.follow { [weak self] in self?.states.withLock { $0 } ?? [:] }
    }

    // MARK: Seen from outside

    /// Whether a job could be given to Slurm, to be asked before it is accepted.
    ///
    /// - Throws: `invalidArgument` that names the field.
    public nonisolated func validate(_ spec: JobSpec) throws(OrchestratorError) {
        _ = try SlurmWork(spec, templates: templates)
    }

    /// Where the files of an attempt are, for reading its logs. Throws for an id that is no safe file name.
    public nonisolated func directory(jobID: String, attempt: UInt32) throws(OrchestratorError) -> AttemptDirectory {
        try files.directory(jobID, attempt: attempt)
    }

    /// Why Slurm can't be reached, in one line; nil when it can.
    public nonisolated var outageReason: String? { outage.withLock { $0 } }

    /// Returns when Slurm has the job, or it has ended, or after `limit`; at once while Slurm is known to be away.
    public func submission(of id: String, within limit: Duration) async {
        guard outageReason == nil, let job = ledger.cachedJob(id), job.state == .queued else { return }
        let timer = Task { [weak self] in
            try await Task.sleep(for: limit)
            await self?.settled(id)
        }
        await withCheckedContinuation { waiters[id, default: []].append($0) }
        timer.cancel()
    }

    private func settled(_ id: String) {
        for waiter in waiters.removeValue(forKey: id) ?? [] { waiter.resume() }
    }

    // MARK: Running

    /// Takes on what the ledger has open, then works until the task is cancelled. To be called once.
    public func run() async {
        // First, so that nothing falls between the look at what is open and what happens after it.
        ledger.observe { [weak self] batch in self?.committed(batch) }
        for job in ledger.openJobs() where job.jobClass == .gpuSlurm { take(job) }
        wake.yield()
        for await _ in wakes {
            absorb()
            startSubmissions()
            listen()
            startPoll()
            setTimer()
        }
    }

    /// Submits nothing more, and returns when the ledger knows the outcome of what was under way. Slurm keeps its jobs.
    public func drain() async {
        isStopping = true
        if unfinished > 0 { await withCheckedContinuation { idleWaiters.append($0) } }
    }

    /// On the ledger's thread.
    private nonisolated func committed(_ batch: CommittedBatch) {
        let released = batch.released.map { CommittedBatch.Change(job: $0, oldState: .queued) }
        let ours = (batch.changes + released).filter { $0.job.jobClass == .gpuSlurm }
        guard !ours.isEmpty else { return }
        inbox.withLock { $0 += ours }
        wake.yield()
    }

    private func absorb() {
        let changes = inbox.withLock { inbox in
            defer { inbox = [] }
            return inbox
        }
        for change in changes {
            let job = change.job
            if job.state != .queued { settled(job.id) }
            if job.state.isTerminal || (job.state == .queued && job.slurm?.isOpen != true) { forget(job.id) }
            switch job.state {
            case .queued where job.slurm?.isOpen != true: enqueue(job)
            case .queued, .submitted, .running:
                if job.isToStop { wantCancel(job.id) }
            case .succeeded, .failed, .cancelled: waiting.remove(job.key)
            }
        }
        countStates()
    }

    private func take(_ job: Job) {
        switch job.state {
        case .queued where job.slurm?.isOpen != true: enqueue(job)
        case .queued, .submitted, .running:
            guard let facts = job.slurm, var track = makeTrack(job, facts) else { return }
            if job.state == .queued {
                // Whether Slurm has it is found out by its name; when no sbatch was ever started, it has not.
                let isUnsent = if case .never = files.progress(of: .sbatch, track.directory) { true } else { false }
                track.doubt = SlurmTrack.Doubt(since: now(), settle: isUnsent ? .zero : configuration.adoptionGrace)
            }
            if let requeue = facts.requeue {
                track.requeue = SlurmRequeue(
                    inheriting: requeue, settlesAt: now().advanced(by: configuration.adoptionGrace))
            }
            follow(track)
        case .succeeded, .failed, .cancelled: break
        }
    }

    private func enqueue(_ job: Job) {
        if job.waitsForItsTurn { waiting.insert(ClassQueue.Entry(job)) } else { waiting.remove(job.key) }
    }

    func makeTrack(_ job: Job, _ facts: SlurmFacts) -> SlurmTrack? {
        // Ids were checked when the job was accepted.
        guard let directory = try? files.directory(job.id, attempt: job.attempt) else { return nil }
        return SlurmTrack(job: job, facts: facts, directory: directory)
    }

    func follow(_ track: SlurmTrack) {
        tracks[track.jobID] = track
        names[track.name] = track.jobID
        lookWithinInterval()
    }

    private func forget(_ id: String) {
        if let track = tracks.removeValue(forKey: id) { names[track.name] = nil }
    }

    private func countStates() {
        var counts: [String: Int] = [:]
        for track in tracks.values where !track.slurmJobID.isEmpty {
            counts[SlurmState(word: track.word)?.rawValue ?? "PENDING", default: 0] += 1
        }
        states.withLock { $0 = counts }
    }

    // MARK: Time

    /// Looks at the queue soon: something is known to have changed, or to be about to.
    func hurry() {
        nextPoll = min(nextPoll, .now + .milliseconds(50))
        wake.yield()
    }

    /// There is something to look for, though there may have been nothing at the last look.
    func lookWithinInterval() {
        guard !tracks.isEmpty || !unmeasured.isEmpty else { return }
        nextPoll = min(nextPoll, .now + configuration.pollInterval)
    }

    private func setTimer() {
        timer?.cancel()
        var next = isPolling ? ContinuousClock.now + PollPace.idle : nextPoll
        if !tracks.isEmpty { next = min(next, .now + Self.bellInterval) }
        if let due = waiting.nextTime { next = min(next, .now + max(.milliseconds(1), now().duration(to: due))) }
        timer = Task { [wake, next] in
            do { try await Task.sleep(until: next, clock: .continuous) } catch { return }
            wake.yield()
        }
    }

    /// Work that tells the ledger something: `drain` waits for it.
    func work(_ body: @escaping @Sendable (isolated SlurmBridge) async -> Void) {
        unfinished += 1
        Task {
            await body(self)
            self.unfinished -= 1
            if self.unfinished == 0 {
                for waiter in self.idleWaiters { waiter.resume() }
                self.idleWaiters = []
            }
            self.wake.yield()
        }
    }

    private func startSubmissions() {
        guard !isStopping, outageReason == nil else { return }
        while submitting < Self.submitters, tracks.count + intending < configuration.maxJobs,
            let entry = waiting.popFirst(now: now())
        {
            submitting += 1
            intending += 1
            work { bridge in
                await bridge.submit(entry)
                bridge.submitting -= 1
            }
        }
    }

    /// The ledger could not take the intent, though the job still waits.
    func waitLonger(_ entry: ClassQueue.Entry) {
        var entry = entry
        entry.notBefore = now().advanced(by: .seconds(1))
        waiting.insert(entry)
    }

    private func startPoll() {
        guard !isPolling, ContinuousClock.now >= nextPoll else { return }
        isPolling = true
        // It is asked again from scratch by the next server: nothing to wait for when this one stops.
        Task {
            let look = await self.poll()
            self.countStates()
            self.nextPoll = .now + self.pace.wait(after: look, jitter: .random(in: 0..<1))
            // Jobs that came meanwhile.
            if case .read(jobs: 0, _, _) = look { self.lookWithinInterval() }
            self.isPolling = false
            self.wake.yield()
        }
    }

    /// What every line about a batch job bears.
    func metadata(_ track: SlurmTrack) -> Logger.Metadata {
        var metadata = ledger.logMetadata(of: track.jobID)
        if !track.slurmJobID.isEmpty { metadata["slurm_job_id"] = "\(track.slurmJobID)" }
        return metadata
    }

    /// The attempt's end, with what it leaves on the disk.
    func tellEnd(_ track: SlurmTrack, _ outcome: AttemptOutcome, _ ending: SlurmEnding) async {
        var outcome = outcome
        outcome.outputBytes = await collecting.run { AttemptOutput.bytes(in: track.directory.path) }
        _ = await tell(track, .ended(outcome, ending))
    }

    /// Until the ledger takes it: meanwhile Slurm and the attempt's directory keep what it is about. A server that is
    /// being stopped tries a few times only, as the next one finds it there.
    func tell(_ track: SlurmTrack, _ report: SlurmReport) async -> Job? {
        var backoff = Duration.milliseconds(100)
        var tries = 0
        while true {
            do {
                return try await ledger.slurm(track.jobID, attempt: track.attempt, report)
            } catch let error as OrchestratorError where error.kind == .notFound {
                // It ended, and the retention has taken it.
                return nil
            } catch {
                tries += 1
                logger.error(
                    "what Slurm did can't be recorded now: \(error)",
                    metadata: metadata(track))
                if tries >= 3, isStopping { return nil }
                try? await Task.sleep(for: backoff)
                backoff = min(backoff * 2, .seconds(10))
            }
        }
    }
}
