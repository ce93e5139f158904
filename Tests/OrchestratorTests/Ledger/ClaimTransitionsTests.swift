import Testing

@testable import Orchestrator

@Suite struct ClaimTransitionsTests {
    private let start = Timestamp(nanoseconds: 1_700_000_000_000_000_000)
    private let spec = JobSpec(id: "a", source: .fileQueue)

    private func at(_ seconds: Int64) -> Timestamp { start.advanced(by: .seconds(seconds)) }

    private func apply(_ command: JobMachine.Command, to job: Job?, at seconds: Int64 = 0) throws
        -> JobMachine.Transition
    {
        try JobMachine.apply(command, to: job, id: "a", now: at(seconds), jitter: 0.5)
    }

    private func after(_ commands: [JobMachine.Command]) throws -> Job {
        var job = try apply(.submit(spec), to: nil).job
        for (second, command) in commands.enumerated() { job = try apply(command, to: job, at: Int64(second + 1)).job }
        return job
    }

    private let good = TaskEnd(
        state: .succeeded, outcome: AttemptOutcome(result: Array("[1]".utf8)), attempt: 3, duration: .seconds(2))

    @Test func `a job that was taken over waits without an event, and does not start`() throws {
        let taken = try apply(.task(.takenOver), to: after([]))
        #expect(taken.changed && taken.events.isEmpty)
        #expect(taken.job.state == .queued && taken.job.claim == .elsewhere && !taken.job.waitsForItsTurn)
        let error = #expect(throws: OrchestratorError.self) { try apply(.start, to: taken.job) }
        #expect(error?.message == "job \"a\" is another server's now; it can't be started here")
        #expect(try !apply(.task(.takenOver), to: taken.job).changed)
    }

    @Test func `it ends as the other's done file says`() throws {
        let taken = try after([.start, .release(attempt: 1), .task(.takenOver)])
        let ended = try apply(.task(.ended(good)), to: taken, at: 10)
        #expect(ended.events.map(\.type) == [.taskCompleted] && ended.events.first?.source == "file_queue")
        #expect(ended.job.state == .succeeded && ended.job.attempt == 3 && ended.job.result == Array("[1]".utf8))
        #expect(ended.job.startedAt == at(8) && ended.job.finishedAt == at(10))
        // The done file stays the other's.
        #expect(ended.job.claim == .elsewhere)

        let failure = AttemptOutcome(signal: 9, failure: .outOfMemory, error: "no memory")
        let failed = try apply(.task(.ended(TaskEnd(state: .failed, outcome: failure, attempt: 1))), to: taken)
        #expect(failed.events.map(\.type) == [.taskFailed])
        #expect(failed.job.failureReason == .outOfMemory && failed.job.signal == 9 && failed.job.error == "no memory")
        let cancelled = TaskEnd(state: .cancelled, outcome: AttemptOutcome(error: "enough"))
        let end = try apply(.task(.ended(cancelled)), to: taken)
        #expect(end.events.map(\.type) == [.taskCancelled] && end.job.error == "enough" && end.job.attempt == 0)
    }

    @Test func `once ended it stays so, whatever comes`() throws {
        let ended = try after([.task(.takenOver), .task(.ended(good))])
        for command: JobMachine.Command in [
            .submit(spec), .task(.takenOver), .task(.vanished(.seconds(1))), .task(.refused("no")),
            .cancel(reason: "", source: "rpc"),
        ] {
            #expect(try apply(command, to: ended) == JobMachine.Transition(job: ended, changed: false))
        }
    }

    @Test func `a task that comes back waits for its turn again, and only a file brings it back`() throws {
        let taken = try after([.task(.takenOver)])
        #expect(try !apply(.submit(JobSpec(id: "a", source: .rpc)), to: taken).changed)
        let back = try apply(.submit(spec), to: taken)
        #expect(back.changed && back.events.isEmpty && back.job.waitsForItsTurn)
        #expect(try apply(.start, to: back.job).job.attempt == 1)
        #expect(try !apply(.task(.ended(good)), to: back.job).changed)
    }

    @Test(arguments: [JobMachine.Command.finish(attempt: 1, AttemptOutcome(signal: 15)), .release(attempt: 1)])
    func `what runs of it is stopped first, and does not count`(end: JobMachine.Command) throws {
        let running = try after([.start, .task(.takenOver)])
        #expect(running.state == .running && running.isToStop)
        #expect(try !apply(.task(.ended(good)), to: running).changed)
        #expect(try !apply(.task(.vanished(.seconds(1))), to: running).changed)
        let stopped = try apply(end, to: running)
        #expect(stopped.events.map(\.type) == [.taskRetrying])
        #expect(stopped.job.state == .queued && stopped.job.claim == .elsewhere && stopped.job.signal == 0)
        #expect(stopped.job.unstartedAttempts == 1 && stopped.job.startedAt == nil)
        #expect(try apply(.task(.ended(good)), to: stopped.job).job.state == .succeeded)
    }

    @Test func `a task that comes back while its old attempt is being stopped starts once that is over`() throws {
        let back = try after([.start, .task(.takenOver), .submit(spec)])
        #expect(back.state == .running && back.claim == .returned && back.isToStop)
        let stopped = try apply(.finish(attempt: 1, AttemptOutcome(signal: 15)), to: back).job
        #expect(stopped.waitsForItsTurn)
        #expect(try apply(.start, to: stopped).job.attempt == 2)
        // Lost once more before that.
        #expect(try apply(.task(.takenOver), to: back).job.claim == .elsewhere)
    }

    @Test func `a task that is nowhere any more is LOST, one that was refused says why`() throws {
        let taken = try after([.task(.takenOver)])
        let lost = try apply(.task(.vanished(.seconds(300))), to: taken)
        #expect(lost.events.map(\.type) == [.taskFailed])
        #expect(lost.job.failureReason == .lost && lost.job.claim == .elsewhere)
        #expect(lost.job.error.contains("for 300 s it has been in none of pending/"))
        let refused = try apply(.task(.refused("no such handler")), to: taken).job
        #expect(
            refused.claim == .here && refused.failureReason == .submitRejected
                && refused.error.hasSuffix("refused it: no such handler"))
    }

    @Test func `a cancel waits for the task, unless the other ends it`() throws {
        let taken = try after([.task(.takenOver)])
        let asked = try apply(.cancel(reason: "enough", source: "rpc"), to: taken)
        #expect(asked.changed && asked.events.isEmpty && asked.job.state == .queued)
        #expect(try apply(.task(.ended(good)), to: asked.job).job.state == .succeeded)
        for command: JobMachine.Command in [.submit(spec), .task(.vanished(.seconds(1))), .task(.refused("no"))] {
            let end = try apply(command, to: asked.job)
            #expect(end.events.map(\.type) == [.taskCancelled] && end.events.first?.source == "rpc")
            #expect(end.job.error == "enough")
        }
        let running = try after([.start, .task(.takenOver), .cancel(reason: "enough", source: "rpc")])
        let stopped = try apply(.finish(attempt: 1, AttemptOutcome(signal: 15)), to: running).job
        #expect(stopped.state == .queued && stopped.claim == .elsewhere)
    }

    @Test func `its deadline holds while a cancel of it waits for the task`() throws {
        var job = try apply(.submit(spec), to: nil).job
        job.spec.deadline = .seconds(5)
        for command: JobMachine.Command in [.start, .task(.takenOver), .cancel(reason: "enough", source: "rpc")] {
            job = try apply(command, to: job, at: 1).job
        }
        // There is nothing left to ask of an attempt that is being stopped.
        #expect(try !apply(.expire, to: job, at: 6).changed)
        let stopped = try apply(.finish(attempt: 1, AttemptOutcome(signal: 15)), to: job, at: 7)
        #expect(stopped.events.map(\.type) == [.taskFailed] && stopped.job.failureReason == .timeout)
    }

    @Test func `its batch job is ended here, which is nobody's wish to cancel it`() throws {
        var job = Job(spec: JobSpec(id: "a", jobClass: .gpuSlurm, source: .fileQueue), submittedAt: start)
        for command: JobMachine.Command in [
            .slurm(attempt: 1, .intended(name: "n")), .slurm(attempt: 1, .accepted(slurmJobID: "7")),
            .task(.takenOver),
        ] {
            job = try apply(command, to: job).job
        }
        #expect(job.state == .submitted && job.isToStop)
        #expect(try !apply(.task(.ended(good)), to: job).changed)
        let ending = SlurmEnding(state: "CANCELLED", cancelledThere: "cancelled in Slurm")
        let stopped = try apply(.slurm(attempt: 1, .ended(AttemptOutcome(failure: .signal), ending)), to: job).job
        #expect(stopped.state == .queued && stopped.claim == .elsewhere && stopped.cancelReason == nil)
        #expect(try apply(.submit(job.spec), to: stopped).job.waitsForItsTurn)
    }
}
