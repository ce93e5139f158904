/// The part of the machine for jobs whose task file another server has taken over (`Job.claim`).
///
/// ```
///  queued ──takenOver──► queued, elsewhere ──ended──► succeeded | failed | cancelled      as the other's done file says
///    ▲                    │  ▲        │  └──refused, vanished──► failed                   nobody will run it
///    └──submit (claimed   │  │        └─────refused, vanished──► cancelled                where that was asked for
///        here again)──────┘  │
///  running ──takenOver──► running, elsewhere: stopped, and back in the queue without an attempt that counts
/// ```
/// A cancel is only noted while another has the task: it takes effect once the task comes back, or nobody has it. If the
/// other one ends it first, that end is the job's.
extension JobMachine {
    static func report(_ report: TaskReport, on job: Job, now: Timestamp) -> Transition {
        let unchanged = Transition(job: job, changed: false)
        var job = job
        if case .takenOver = report {
            guard !job.state.isTerminal, job.claim != .elsewhere else { return unchanged }
            job.claim = .elsewhere
            return Transition(job: job, changed: true)
        }
        // An attempt of this server's is stopped first, or it would go on without anybody to follow it.
        guard job.isIdle, job.claim == .elsewhere else { return unchanged }
        switch report {
        case .takenOver: return unchanged
        case .ended(let end): return ended(job, end, now: now)
        case .refused(let why):
            // Nobody else will tell the end, so the done file is this server's to write.
            job.claim = .here
            return abandoned(
                job, .submitRejected, "another server on the queue directory took it over and refused it: \(why)",
                now: now)
        case .vanished(let absence):
            // Somebody may have taken the other's done file away already: one that says LOST would be a second end.
            return abandoned(
                job, .lost,
                "another server on the queue directory took it over, and for \(AttemptEnd.seconds(absence)) it has been "
                    + "in none of pending/, claimed/, done/ and failed/; drop it again under a new id",
                now: now)
        }
    }

    /// Its task was claimed here once more.
    static func cameBack(_ job: Job, now: Timestamp) -> Transition {
        guard !job.state.isTerminal, job.claim == .elsewhere else { return Transition(job: job, changed: false) }
        var job = job
        guard job.isIdle else {
            job.claim = .returned
            return Transition(job: job, changed: true)
        }
        job.claim = .here
        return job.cancelReason == nil ? Transition(job: job, changed: true) : cancelled(job, now: now)
    }

    /// An attempt here is over that does not count, as another server was given the task meanwhile.
    static func stoppedForAnother(_ job: Job, source: String, now: Timestamp) -> Transition {
        var job = job
        job.unstartedAttempts += 1
        if job.claim == .returned { job.claim = .here }
        if job.claim == .here, job.cancelReason != nil { return cancelled(job, now: now) }
        // A cancel that was noted keeps the mark away (`expire`), and not the deadline.
        if job.isExpired || (job.deadline.map { $0 <= now } ?? false) {
            return expired(job, while: "another server on the queue directory had it", now: now)
        }
        job.state = .queued
        job.startedAt = nil
        job.notBefore = nil
        let data = EventData.retrying(job, reason: "taken_over", error: "", next: now)
        return changed(job, .taskRetrying, data, source: source, now)
    }

    private static func ended(_ job: Job, _ end: TaskEnd, now: Timestamp) -> Transition {
        var job = job
        job.state = end.state
        job.attempt = end.attempt
        // By this server's clock, as everything that is compared with it.
        job.finishedAt = now
        job.startedAt = end.duration.map { now.advanced(by: .zero - $0) }
        job.notBefore = nil
        job.openParents = 0
        job.exitCode = end.outcome.exitCode
        job.signal = end.outcome.signal
        job.failureReason = end.outcome.failure
        job.error = end.outcome.error
        job.result = end.outcome.result
        let source = JobSource.fileQueue.rawValue
        switch end.state {
        case .succeeded: return changed(job, .taskCompleted, EventData.completed(job), source: source, now)
        case .cancelled:
            job.cancelReason = end.outcome.error
            job.cancelSource = source
            return changed(job, .taskCancelled, EventData.cancelled(job), source: source, now)
        case .failed, .queued, .submitted, .running:
            job.state = .failed
            return changed(job, .taskFailed, EventData.failed(job), source: source, now)
        }
    }

    private static func abandoned(_ job: Job, _ reason: FailureReason, _ error: String, now: Timestamp) -> Transition {
        job.cancelReason == nil ? failed(job, reason, error, now: now) : cancelled(job, now: now)
    }
}

extension Job {
    /// Queued, with no attempt of this server's under way.
    fileprivate var isIdle: Bool { state == .queued && slurm?.isOpen != true }
}
