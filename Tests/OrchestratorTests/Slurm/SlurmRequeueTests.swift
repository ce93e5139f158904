import Testing

@testable import Orchestrator

@Suite struct SlurmRequeueTests {
    private static let start = Timestamp(nanoseconds: 1_800_000_000_000_000_000)

    private func job(_ state: JobState, _ jobClass: JobClass = .gpuSlurm) -> Job {
        var job = Job(spec: JobSpec(id: "j", jobClass: jobClass), submittedAt: Self.start)
        job.state = state
        return job
    }

    private func refusal(_ job: Job) throws -> OrchestratorError {
        try #require(throws: OrchestratorError.self) { try SlurmRequeue.verdict(job) }
    }

    @Test func `one that runs is asked for, and one that waits is where it belongs`() throws {
        #expect(try SlurmRequeue.verdict(job(.running)) == .ask)
        #expect(try SlurmRequeue.verdict(job(.submitted)) == .waitsAlready)
    }

    @Test(arguments: [
        (JobState.queued, "has not reached Slurm yet"), (.succeeded, "has ended as succeeded"),
        (.failed, "has ended as failed"), (.cancelled, "has ended as cancelled"),
    ])
    func `what is not in Slurm is refused with the remedy`(state: JobState, words: String) throws {
        let error = try refusal(job(state))
        #expect(error.kind == .failedPrecondition && error.reason == .jobNotInSlurm && error.jobID == "j")
        #expect(error.message.contains(words), "\(error)")
    }

    @Test func `another class is refused, whatever it does`() throws {
        for state in [JobState.queued, .running, .succeeded] {
            #expect(try refusal(job(state, .gpu)).message.contains("is of class gpu"))
        }
    }

    @Test func `one that is to end is not started again`() throws {
        var running = job(.running)
        running.cancelReason = "enough"
        #expect(try refusal(running).message.contains("is being ended"))
    }

    @Test func `nothing that is seen counts until Slurm has answered, nor what was asked before`() {
        var requeue = SlurmRequeue()
        #expect(!requeue.outdates(Self.start))
        requeue.asked()
        #expect(requeue.isUnderWay && requeue.outdates(Self.start.advanced(by: .seconds(9))))
        requeue.answered(.init(run: 0, reason: ""), at: Self.start.advanced(by: .seconds(2)))
        #expect(requeue.outdates(Self.start.advanced(by: .seconds(2))))
        #expect(!requeue.isUnderWay && !requeue.outdates(Self.start.advanced(by: .seconds(3))))
    }

    /// Of a command that ended well.
    private func marker(run: UInt32) throws -> EndMarker {
        try #require(EndMarker(parsing: Array("slurm_job_id=7\nrestarts=\(run)\nexit_code=0\nend=1\n".utf8)))
    }

    @Test func `the end of the run that was given up is no end, and that of the next one is`() throws {
        var requeue = SlurmRequeue()
        #expect(try requeue.judged(marker(run: 0)).isConclusive)
        requeue.answered(.init(run: 1, reason: ""), at: Self.start)
        for given in [requeue, SlurmRequeue(inheriting: .init(run: 1, reason: ""), settlesAt: Self.start)] {
            let judged = try [0, 1, 2].map { try given.judged(marker(run: $0)).isConclusive }
            #expect(judged == [false, false, true])
        }
    }

    @Test func `a refusal leaves everything as it was`() {
        var requeue = SlurmRequeue()
        requeue.asked()
        requeue.refused()
        #expect(requeue == SlurmRequeue())
    }

    @Test(arguments: [("PENDING", true), ("RUNNING", true), ("COMPLETING", true), ("COMPLETED", false), (nil, false)])
    func `a job that is over is believed to be once no requeue can come any more`(
        state: String?, early: Bool
    ) {
        let row = state.map {
            QueueRow(id: "7", name: "n", state: $0, reason: "", nodes: "", startedAt: nil, endedAt: nil)
        }
        var unanswered = SlurmRequeue()
        unanswered.answered(.init(run: 0, reason: ""), at: Self.start, settle: .seconds(15))
        let inherited = SlurmRequeue(
            inheriting: .init(run: 0, reason: ""), settlesAt: Self.start.advanced(by: .seconds(15)))
        for requeue in [unanswered, inherited] {
            #expect(requeue.isSettled(by: row, at: Self.start.advanced(by: .seconds(14))) == early)
            #expect(requeue.isSettled(by: row, at: Self.start.advanced(by: .seconds(15))))
        }
        var answered = SlurmRequeue()
        answered.answered(.init(run: 0, reason: ""), at: Self.start)
        #expect(answered.isSettled(by: row, at: Self.start))
    }
}
