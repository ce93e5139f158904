/// The life of a job as a pure function: (job, command, time) → new job and its events.
///
/// ```
///  submit ──► queued ──start──► running ──finish──► succeeded | failed | cancelled
///               ▲  │               │
///               │  └─cancel────────┼──────────────► cancelled
///               └─finish (retry)───┤
///               └─release──────────┘
///  queued ──parentFailed, expire──► failed
/// ```
/// A job that waits for others (`openParents`) is queued and does not start. One whose deadline passes while it runs is
/// marked, ended by whoever runs it, and then failed.
///
/// A command that comes too late (for an older attempt, or for a job that has ended) leaves the job unchanged and has no
/// event: reports cross each other on their way, and terminal states are final. `submitted`, Slurm's waiting state, has
/// its place between queued and running; what moves a job there and on is in SlurmTransitions. A job whose task another
/// server has taken over does not start and waits for word from there: ClaimTransitions.
enum JobMachine {
    enum Command: Sendable {
        /// Checked by `SubmissionRules`, with its id filled in.
        case submit(JobSpec)
        case start
        case finish(attempt: UInt32, AttemptOutcome)
        /// The attempt does not count: no process was made, or it ended only because its runner did.
        case release(attempt: UInt32)
        case cancel(reason: String, source: String)
        /// A job that this one depends on has ended otherwise than well.
        case parentFailed(String, JobState)
        /// The deadline has passed.
        case expire
        /// What the Slurm bridge did or learnt; see SlurmTransitions.
        case slurm(attempt: UInt32, SlurmReport)
        /// What became of the task file of a job; see ClaimTransitions.
        case task(TaskReport)
    }

    struct Transition: Equatable {
        var job: Job
        var events: [Event] = []
        /// Whether the job differs from before.
        var changed: Bool
    }

    /// - Parameters:
    ///   - jitter: from 0 up to 1, for the back-off.
    /// - Returns: the events have sequence 0; the ledger numbers them.
    static func apply(
        _ command: Command, to job: Job?, id: String, now: Timestamp, jitter: Double
    ) throws(OrchestratorError) -> Transition {
        if case .submit(let spec) = command { return try submit(spec, existing: job, now: now) }
        guard let job else { throw .noJob(id) }
        switch command {
        case .submit(let spec): return try submit(spec, existing: job, now: now)
        case .start: return try start(job, now: now)
        case .finish(let attempt, let outcome):
            return finish(job, attempt: attempt, outcome, now: now, jitter: jitter)
        case .release(let attempt): return release(job, attempt: attempt, now: now)
        case .cancel(let reason, let source): return cancel(job, reason: reason, source: source, now: now)
        case .parentFailed(let parent, let state): return parentFailed(job, parent, state, now: now)
        case .expire: return expire(job, now: now)
        case .slurm(let attempt, let report):
            return try slurm(job, attempt: attempt, report, now: now, jitter: jitter)
        case .task(let report): return Self.report(report, on: job, now: now)
        }
    }

    private static func submit(
        _ spec: JobSpec, existing: Job?, now: Timestamp
    ) throws(OrchestratorError) -> Transition {
        if let existing {
            let names = spec.differences(from: existing.spec)
            guard names.isEmpty else {
                throw OrchestratorError(
                    .alreadyExists,
                    "job_id \"\(spec.id)\" already exists with a different \(names.joined(separator: " and ")); use a new "
                        + "id or send the same content"
                ).because(.jobExists, job: spec.id, ["different": names.joined(separator: ",")])
            }
            return spec.source == .fileQueue
                ? cameBack(existing, now: now) : Transition(job: existing, changed: false)
        }
        let job = Job(spec: spec, submittedAt: now)
        return changed(job, .taskSubmitted, EventData.submitted(job), source: spec.source.rawValue, now)
    }

    private static func start(_ job: Job, now: Timestamp) throws(OrchestratorError) -> Transition {
        guard job.state == .queued else {
            throw OrchestratorError(
                .failedPrecondition, "job \"\(job.id)\" is \(job.state.word), not queued; it can't be started"
            ).because(.jobNotQueued, job: job.id)
        }
        guard job.openParents == 0 else {
            throw OrchestratorError(
                .failedPrecondition, "job \"\(job.id)\" waits for \(waitedFor(job)); it can't be started")
        }
        guard job.claim == .here else {
            throw OrchestratorError(
                .failedPrecondition, "job \"\(job.id)\" is another server's now; it can't be started here")
        }
        if let deadline = job.deadline, deadline <= now {
            throw OrchestratorError(
                .failedPrecondition, "the deadline of job \"\(job.id)\" has passed; it can't be started")
        }
        var job = job
        job.state = .running
        job.attempt += 1
        job.startedAt = now
        job.notBefore = nil
        return changed(job, .taskStarted, EventData.started(job), source: "runner", now)
    }

    private static func finish(
        _ job: Job, attempt: UInt32, _ outcome: AttemptOutcome, now: Timestamp, jitter: Double
    ) -> Transition {
        guard job.state == .running, job.attempt == attempt else { return Transition(job: job, changed: false) }
        return conclude(job, outcome, source: "runner", now: now, jitter: jitter)
    }

    /// The newest attempt is over: the end of the job, or its next attempt.
    static func conclude(
        _ job: Job, _ outcome: AttemptOutcome, source: String, now: Timestamp, jitter: Double
    ) -> Transition {
        var job = job
        job.outputBytes += min(max(0, outcome.outputBytes), .max - job.outputBytes)
        if job.claim != .here { return stoppedForAnother(job, source: source, now: now) }
        job.exitCode = outcome.exitCode
        job.signal = outcome.signal
        job.failureReason = outcome.failure
        job.error = outcome.error
        job.result = outcome.result
        if job.cancelReason != nil { return cancelled(job, now: now) }
        let isLate = job.deadline.map { $0 <= now } ?? false
        // Whoever runs it knows the deadline too, and may have been the first to act on it.
        if job.isExpired || (isLate && outcome.failure == .timeout) {
            return expired(job, while: "attempt \(job.attempt) ran", now: now)
        }

        let ran = job.attempt - min(job.attempt, job.unstartedAttempts)
        if let reason = outcome.failure, job.spec.retry.retries(after: reason, attempts: ran) {
            let next = now.advanced(by: job.spec.retry.backoff(failures: ran, jitter: jitter))
            // An attempt that could only begin after the deadline is none.
            if job.deadline.map({ next < $0 }) ?? true {
                job.state = .queued
                job.notBefore = next
                let data = EventData.retrying(job, reason: reason.word, error: outcome.error, next: next)
                return changed(job, .taskRetrying, data, source: source, now)
            }
        }
        job.finishedAt = now
        job.state = outcome.failure == nil ? .succeeded : .failed
        return outcome.failure == nil
            ? changed(job, .taskCompleted, EventData.completed(job), source: source, now)
            : changed(job, .taskFailed, EventData.failed(job), source: source, now)
    }

    private static func release(_ job: Job, attempt: UInt32, now: Timestamp) -> Transition {
        guard job.state == .running, job.attempt == attempt else { return Transition(job: job, changed: false) }
        if job.claim != .here { return stoppedForAnother(job, source: "runner", now: now) }
        var job = job
        job.unstartedAttempts += 1
        if job.cancelReason != nil { return cancelled(job, now: now) }
        if job.isExpired { return expired(job, while: "it was being started", now: now) }
        job.state = .queued
        job.startedAt = nil
        let data = EventData.retrying(job, reason: "never_started", error: "", next: now)
        return changed(job, .taskRetrying, data, source: "runner", now)
    }

    private static func cancel(_ job: Job, reason: String, source: String, now: Timestamp) -> Transition {
        guard !job.state.isTerminal, job.cancelReason == nil else { return Transition(job: job, changed: false) }
        var job = job
        job.cancelReason = reason
        job.cancelSource = source
        // A running one is ended by whoever runs it, who sees the reason in the ledger's next batch; so is one that is on
        // its way to Slurm. What another server has is not ended by asking here.
        guard job.state == .queued, job.slurm?.isOpen != true, job.claim == .here else {
            return Transition(job: job, changed: true)
        }
        return cancelled(job, now: now)
    }

    private static func parentFailed(
        _ job: Job, _ parent: String, _ state: JobState, now: Timestamp
    ) -> Transition {
        guard job.state == .queued else { return Transition(job: job, changed: false) }
        let how = state == .cancelled ? "was cancelled" : "failed"
        return failed(
            job, .dependencyFailed,
            "job \"\(parent)\" \(how), and this one depends on it; submit both again under new ids", now: now)
    }

    private static func expire(_ job: Job, now: Timestamp) -> Transition {
        switch job.state {
        case .queued where job.slurm?.isOpen != true:
            let wait =
                if job.claim != .here {
                    "another server on the queue directory had it"
                } else if job.openParents > 0 {
                    "it waited for \(waitedFor(job))"
                } else if job.notBefore != nil {
                    "it waited to be retried"
                } else {
                    "it waited for its turn"
                }
            return expired(job, while: wait, now: now)
        case .queued, .submitted, .running:
            guard !job.isExpired, job.cancelReason == nil else { return Transition(job: job, changed: false) }
            var job = job
            job.isExpired = true
            return Transition(job: job, changed: true)
        case .succeeded, .failed, .cancelled:
            return Transition(job: job, changed: false)
        }
    }

    static func expired(_ job: Job, while what: String, now: Timestamp) -> Transition {
        let limit = job.spec.deadline.map { AttemptEnd.seconds($0) } ?? ""
        return failed(job, .timeout, "its deadline of \(limit) passed while \(what)", now: now)
    }

    static func failed(_ job: Job, _ reason: FailureReason, _ error: String, now: Timestamp) -> Transition {
        var job = job
        job.state = .failed
        job.failureReason = reason
        job.error = error
        job.finishedAt = now
        job.notBefore = nil
        job.openParents = 0
        return changed(job, .taskFailed, EventData.failed(job), source: "server", now)
    }

    /// The jobs it depends on, in words. Which of them have succeeded is not known here.
    private static func waitedFor(_ job: Job) -> String {
        job.openParents == 1 && job.spec.dependsOn.count == 1
            ? "job \"\(job.spec.dependsOn[0])\"" : "\(job.openParents) of its \(job.spec.dependsOn.count) parents"
    }

    static func cancelled(_ job: Job, now: Timestamp) -> Transition {
        var job = job
        job.state = .cancelled
        job.finishedAt = now
        job.notBefore = nil
        job.openParents = 0
        job.failureReason = nil
        job.error = job.cancelReason.flatMap { $0.isEmpty ? nil : $0 } ?? "cancelled"
        return changed(job, .taskCancelled, EventData.cancelled(job), source: job.cancelSource ?? "server", now)
    }

    static func changed(
        _ job: Job, _ type: EventType, _ data: [UInt8], source: String, _ now: Timestamp
    ) -> Transition {
        let event = Event(
            sequence: 0, type: type, jobID: job.id, time: now, attempt: job.attempt, state: job.state, data: data,
            source: source)
        return Transition(job: job, events: [event], changed: true)
    }
}

extension OrchestratorError {
    static func noJob(_ id: String) -> OrchestratorError {
        OrchestratorError(
            .notFound,
            "no job \(id.prefix(128).debugDescription) is known here; check the id, or list the jobs to find it"
        ).because(.jobNotFound, job: id)
    }
}
