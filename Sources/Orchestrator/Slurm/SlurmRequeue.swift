/// A batch job that somebody here puts back into Slurm's queue: whether that can be, and what is known while it happens.
/// Pure.
///
/// The run that is given up may end by itself in the same moment. What it left is then no end of the job, which runs once
/// more; and what the queue showed before the question is no answer to it.
struct SlurmRequeue: Sendable, Equatable {
    /// Slurm has been asked and has not answered: until then nothing that is seen counts.
    private(set) var isUnderWay = false
    /// Somebody's words, for the event that tells of it.
    var reason = ""
    private var answeredAt: Timestamp?
    /// As runs are counted by `restarts`.
    private var givenUpRun: UInt32?

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

    /// - Parameter run: the one that Slurm gives up, or may have given up.
    mutating func answered(givingUp run: UInt32, reason: String, at now: Timestamp) {
        isUnderWay = false
        givenUpRun = run
        self.reason = reason
        answeredAt = now
    }

    mutating func refused() { isUnderWay = false }

    func hasGivenUp(run: UInt32) -> Bool { givenUpRun.map { run <= $0 } ?? false }

    /// Whether the answer to a question put then is older than the requeue.
    func outdates(_ asked: Timestamp) -> Bool { isUnderWay || answeredAt.map { asked <= $0 } ?? false }

    /// A job that the queue shows as over was not put back, whatever the answer was.
    mutating func saw(_ row: QueueRow?) {
        if let row, SlurmState(word: row.state)?.phase == .over { givenUpRun = nil }
    }
}
