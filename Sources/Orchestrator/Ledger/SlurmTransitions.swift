/// The part of the machine that jobs of class gpu_slurm take.
///
/// ```
///  queued ──intended──► queued, with an intent ──accepted──► submitted ──started──► running
///    ▲                       │                                 │   ▲                 │  │
///    │                       │                                 │   └────requeued─────┘  │
///    └─ended (retry)─────────┴──────────────ended──────────────┴────────────────────────┴──► one of the three ends
/// ```
extension JobMachine {
    static let slurmSource = "slurm"

    static func slurm(
        _ job: Job, attempt: UInt32, _ report: SlurmReport, now: Timestamp, jitter: Double
    ) throws(OrchestratorError) -> Transition {
        if case .intended(let name) = report { return try intended(job, attempt: attempt, name: name, now: now) }
        guard job.attempt == attempt, var facts = job.slurm else { return Transition(job: job, changed: false) }
        if case .measured(let elapsed, let maxRSS) = report {
            // The wrapper knows fractions of a second.
            facts.elapsedSeconds = facts.elapsedSeconds ?? elapsed
            facts.maxRSSBytes = maxRSS ?? facts.maxRSSBytes
            return silently(job, facts)
        }
        guard facts.isOpen, !job.state.isTerminal else { return Transition(job: job, changed: false) }

        var job = job
        switch report {
        case .intended, .measured: return Transition(job: job, changed: false)
        case .accepted(let id):
            guard job.state == .queued else {
                guard job.slurmJobID != id else { return Transition(job: job, changed: false) }
                job.slurmJobID = id
                return Transition(job: job, changed: true)
            }
            job.state = .submitted
            job.slurmJobID = id
            facts.acceptedAt = now.nanoseconds
            facts.state = "PENDING"
            job.slurm = facts
            return changed(job, .slurmJobSubmitted, EventData.slurm(job), source: slurmSource, now)
        case .started(let nodes, let time, let restarts):
            return started(job, facts, nodes: nodes, at: min(time ?? now, now), restarts: restarts, now: now)
        case .requeued(let state, let restarts, let reason):
            facts.state = state
            facts.count(restarts: restarts)
            guard job.state == .running else { return silently(job, facts) }
            job.state = .submitted
            job.slurm = facts
            return changed(job, .slurmJobSubmitted, EventData.slurm(job, reason: reason), source: slurmSource, now)
        case .requeueIntended(let requeue):
            facts.requeue = requeue
            return silently(job, facts)
        case .requeueRefused:
            facts.requeue = nil
            return silently(job, facts)
        case .observed(let state):
            facts.state = state
            return silently(job, facts)
        case .ended(let outcome, let ending):
            return ended(job, facts, outcome, ending, now: now, jitter: jitter)
        }
    }

    private static func intended(
        _ job: Job, attempt: UInt32, name: String, now: Timestamp
    ) throws(OrchestratorError) -> Transition {
        let isLate = job.deadline.map { $0 <= now } ?? false
        guard job.waitsForItsTurn, job.slurm?.isOpen != true, attempt == job.attempt + 1, !isLate
        else {
            throw OrchestratorError(
                .failedPrecondition, "job \"\(job.id)\" is \(job.state.word); attempt \(attempt) can't begin"
            ).because(.jobNotQueued, job: job.id)
        }
        var job = job
        job.attempt = attempt
        job.startedAt = nil
        job.notBefore = nil
        job.slurmJobID = ""
        job.slurm = SlurmFacts(name: name, intendedAt: now)
        return Transition(job: job, changed: true)
    }

    private static func started(
        _ job: Job, _ facts: SlurmFacts, nodes: String, at time: Timestamp, restarts: UInt32, now: Timestamp
    ) -> Transition {
        var job = job
        var facts = facts
        let isAnotherRun = restarts > facts.restarts
        facts.nodes = nodes.isEmpty ? facts.nodes : nodes
        facts.count(restarts: restarts)
        facts.state = "RUNNING"
        guard job.state == .submitted || isAnotherRun else { return silently(job, facts) }
        let isFirst = job.startedAt == nil
        facts.startedAt = time.nanoseconds
        job.slurm = facts
        job.state = .running
        job.startedAt = time
        var transition = changed(job, .slurmJobStarted, EventData.slurm(job), source: slurmSource, now)
        // An attempt starts once, however often Slurm begins it again.
        if isFirst {
            transition.events += changed(job, .taskStarted, EventData.started(job), source: slurmSource, now).events
        }
        return transition
    }

    private static func ended(
        _ job: Job, _ facts: SlurmFacts, _ outcome: AttemptOutcome, _ ending: SlurmEnding, now: Timestamp,
        jitter: Double
    ) -> Transition {
        var job = job
        var facts = facts
        var events: [Event] = []
        let wasThere = !job.slurmJobID.isEmpty
        // One that was over before it was seen to run: its start belongs into the log all the same.
        if let began = ending.startedAt, job.state == .submitted {
            let transition = started(
                job, facts, nodes: ending.nodes, at: min(began, now), restarts: facts.restarts, now: now)
            job = transition.job
            facts = transition.job.slurm ?? facts
            events = transition.events
        }
        facts.isOpen = false
        facts.requeue = nil
        facts.state = ending.state.isEmpty ? facts.state : ending.state
        facts.nodes = ending.nodes.isEmpty ? facts.nodes : ending.nodes
        facts.endedAt = min(ending.endedAt ?? now, now).nanoseconds
        if let began = ending.startedAt ?? job.startedAt, wasThere {
            facts.startedAt = began.nanoseconds
            facts.elapsedSeconds = max(
                0, began.duration(to: Timestamp(nanoseconds: facts.endedAt ?? now.nanoseconds)).inSeconds)
        }
        job.slurm = facts
        // One whose deadline passed, or which another server has, was cancelled by this server.
        if let words = ending.cancelledThere, !job.isToStop {
            job.cancelReason = words
            job.cancelSource = slurmSource
        }
        var transition = conclude(job, outcome, source: slurmSource, now: now, jitter: jitter)
        if wasThere {
            let data = EventData.slurmEnded(transition.job, outcome)
            events += changed(transition.job, .slurmJobCompleted, data, source: slurmSource, now).events
        }
        transition.events = events + transition.events
        return transition
    }

    private static func silently(_ job: Job, _ facts: SlurmFacts) -> Transition {
        var job = job
        guard job.slurm != facts else { return Transition(job: job, changed: false) }
        job.slurm = facts
        return Transition(job: job, changed: true)
    }
}

extension SlurmFacts {
    /// Slurm has put the job back so often, which ends the intent to do so.
    fileprivate mutating func count(restarts seen: UInt32) {
        restarts = max(restarts, seen)
        if let run = requeue?.run, restarts > run { requeue = nil }
    }
}
