/// A batch job that somebody here puts back into Slurm's queue: whether that can be, and what is known while it happens.
/// Pure.
///
/// The run that is given up may end by itself in the same moment. What it left is then no end of the job, which runs once
/// more; and what the queue showed before the question is no answer to it. Where nobody knows whether Slurm got the
/// question, its queue tells once the question can't come any more.
struct SlurmRequeue: Sendable, Equatable {
    /// Slurm has been asked and has not answered: until then nothing that is seen counts.
    private(set) var isUnderWay = false
    /// Somebody's words, for the event that tells of it.
    var reason = ""
    private var answeredAt: Timestamp?
    /// As runs are counted by `restarts`.
    private var givenUpRun: UInt32?
    /// From when on a job that is shown as over is not put back any more.
    private var settlesAt: Timestamp?
    /// The server that asked is gone, and its scontrol may not be.
    private(set) var isInherited = false

    init() {}

    /// One that a server of before had in mind, and perhaps asked for.
    init(inheriting intent: SlurmFacts.Requeue, settlesAt: Timestamp) {
        reason = intent.reason
        givenUpRun = intent.run
        self.settlesAt = settlesAt
        isInherited = true
    }

    enum Verdict: Sendable, Equatable {
        /// It waits in Slurm's queue, which is where it is wanted.
        case waitsAlready
        case ask
    }

    /// - Throws: `failedPrecondition` with the remedy.
    static func verdict(_ job: Job) throws(OrchestratorError) -> Verdict {
        func refusal(_ why: String) -> OrchestratorError {
            OrchestratorError(.failedPrecondition, "job \(job.id.asJSON) \(why)").because(.jobNotInSlurm, job: job.id)
        }
        guard job.jobClass == .gpuSlurm else {
            throw refusal(
                "is of class \(job.jobClass.word), and only Slurm's jobs can be requeued; cancel it and submit it anew")
        }
        if job.state.isTerminal {
            throw refusal(
                "has ended as \(job.state.word), and only what is in Slurm can be requeued; submit it under a new id")
        }
        if job.isToStop { throw refusal("is being ended and can't be requeued; submit it under a new id") }
        switch job.state {
        case .submitted: return .waitsAlready
        case .running: return .ask
        case .queued, .succeeded, .failed, .cancelled:
            throw refusal("has not reached Slurm yet and needs no requeue; wait until it runs")
        }
    }

    mutating func asked() { isUnderWay = true }

    /// - Parameters:
    ///   - intent: with the run that Slurm gives up, or may have given up.
    ///   - settle: how long the question may still be on its way, when there was no answer.
    mutating func answered(_ intent: SlurmFacts.Requeue, at now: Timestamp, settle: Duration = .zero) {
        isUnderWay = false
        givenUpRun = intent.run
        reason = intent.reason
        answeredAt = now
        settlesAt = now.advanced(by: settle)
    }

    mutating func refused() { isUnderWay = false }

    /// What the wrapper wrote, and whether it is of a run that counts.
    func judged(_ marker: EndMarker) -> EndMarker {
        var marker = marker
        marker.isGivenUp = givenUpRun.map { marker.restarts <= $0 } ?? false
        return marker
    }

    /// Whether the answer to a question put then is older than the requeue.
    func outdates(_ asked: Timestamp) -> Bool { isUnderWay || answeredAt.map { asked <= $0 } ?? false }

    /// Whether the queue's word can be taken: of a job that is over, or gone, only when it can't be put back any more.
    func isSettled(by row: QueueRow?, at now: Timestamp) -> Bool {
        guard let settlesAt, now < settlesAt else { return true }
        guard let row else { return false }
        return SlurmState(word: row.state)?.phase != .over
    }
}
