import Testing

@testable import Orchestrator

@Suite struct SlurmTransitionsTests {
    private static let start = Timestamp(nanoseconds: 1_800_000_000_000_000_000)

    private func time(_ second: Int) -> Timestamp { Self.start.advanced(by: .seconds(second)) }

    private func job(retry: RetryPolicy = .none) -> Job {
        Job(spec: JobSpec(id: "j", jobClass: .gpuSlurm, retry: retry), submittedAt: Self.start)
    }

    /// The job after these reports on attempt 1, one a second, and the types of their events.
    private func after(_ reports: [SlurmReport], job: Job? = nil) throws -> (job: Job, events: [String]) {
        var job = job ?? self.job()
        var events: [String] = []
        for (second, report) in reports.enumerated() {
            let transition = try JobMachine.apply(
                .slurm(attempt: 1, report), to: job, id: "j", now: time(second), jitter: 0.5)
            job = transition.job
            events += transition.events.map(\.type.rawValue)
        }
        return (job, events)
    }

    private let there: [SlurmReport] = [.intended(name: "dspy-a-1"), .accepted(slurmJobID: "7")]
    private let ran = SlurmReport.started(nodes: "n1", at: nil, restarts: 0)

    @Test func `an intent is no event, and the job still waits`() throws {
        let (job, events) = try after([.intended(name: "dspy-a-1")])
        #expect(job.state == .queued && job.attempt == 1 && job.slurm?.isOpen == true)
        #expect(events.isEmpty)
    }

    @Test func `a whole life has its events in order`() throws {
        let (job, events) = try after(there + [ran, .ended(AttemptOutcome(), SlurmEnding(state: "COMPLETED"))])
        #expect(job.state == .succeeded && job.slurmJobID == "7" && job.slurm?.isOpen == false)
        #expect(job.startedAt == time(2) && job.finishedAt == time(3))
        #expect(
            events == [
                "slurm_job_submitted", "slurm_job_started", "task_started", "slurm_job_completed", "task_completed",
            ])
    }

    @Test func `a start that nobody saw is told with the end`() throws {
        let ending = SlurmEnding(state: "FAILED", nodes: "n2", startedAt: time(1), endedAt: time(2))
        let (job, events) = try after(there + [.ended(AttemptOutcome(exitCode: 3, failure: .exitCode), ending)])
        #expect(job.state == .failed && job.slurm?.nodes == "n2" && job.slurm?.elapsedSeconds == 1)
        #expect(
            events == [
                "slurm_job_submitted", "slurm_job_started", "task_started", "slurm_job_completed", "task_failed",
            ])
    }

    @Test func `a requeued job is submitted again, and starts again without a second task_started`() throws {
        let again = SlurmReport.started(nodes: "n2", at: nil, restarts: 1)
        let (job, events) = try after(there + [ran, .requeued(state: "PENDING", restarts: 1), again])
        #expect(job.state == .running && job.attempt == 1 && job.slurm?.restarts == 1)
        #expect(
            events == [
                "slurm_job_submitted", "slurm_job_started", "task_started", "slurm_job_submitted", "slurm_job_started",
            ])
    }

    @Test func `the intent to requeue is kept until the job is back in the queue, or is not to be`() throws {
        let intent = SlurmReport.requeueIntended(.init(run: 0, reason: "a hung node"))
        let (asked, events) = try after(there + [ran, intent])
        #expect(asked.slurm?.requeue == .init(run: 0, reason: "a hung node"))
        #expect(asked.state == .running && events.count == 3)
        let ends: [SlurmReport] = [
            .requeueRefused, .requeued(state: "PENDING", restarts: 1), .started(nodes: "n2", at: nil, restarts: 1),
            .ended(AttemptOutcome(), SlurmEnding(state: "COMPLETED")),
        ]
        for end in ends {
            #expect(try after(there + [ran, intent, end]).job.slurm?.requeue == nil, "\(end)")
        }
        for other in [ran, .observed(state: "SUSPENDED")] {
            #expect(try after(there + [ran, intent, other]).job.slurm?.requeue != nil, "\(other)")
        }
    }

    @Test func `who had a job requeued is told in the event that follows, and in no other`() throws {
        let asked = SlurmReport.requeued(state: "PENDING", restarts: 1, reason: "a hung node")
        let (running, _) = try after(there + [ran])
        let event = try #require(
            JobMachine.apply(.slurm(attempt: 1, asked), to: running, id: "j", now: time(9), jitter: 0).events.first)
        #expect(String(decoding: event.data, as: UTF8.self).contains(#""reason":"a hung node""#))
        let (again, _) = try after(there + [ran, asked, .started(nodes: "n2", at: nil, restarts: 1)])
        #expect(!String(decoding: EventData.slurm(again), as: UTF8.self).contains("reason"))
    }

    @Test func `what comes twice or too late changes nothing`() throws {
        let (job, _) = try after(there + [ran])
        for report in [SlurmReport.accepted(slurmJobID: "7"), ran, .observed(state: "RUNNING")] {
            #expect(
                try !JobMachine.apply(.slurm(attempt: 1, report), to: job, id: "j", now: time(9), jitter: 0).changed)
        }
        #expect(
            try !JobMachine.apply(
                .slurm(attempt: 2, .requeued(state: "PENDING", restarts: 1)), to: job, id: "j", now: time(9), jitter: 0
            ).changed)
        let (ended, _) = try after(there + [.ended(AttemptOutcome(), SlurmEnding())])
        #expect(try !JobMachine.apply(.slurm(attempt: 1, ran), to: ended, id: "j", now: time(9), jitter: 0).changed)
    }

    @Test func `a cancel waits for Slurm once there is an intent`() throws {
        let cancel = JobMachine.Command.cancel(reason: "enough", source: "rpc")
        let (intended, _) = try after([.intended(name: "dspy-a-1")])
        let asked = try JobMachine.apply(cancel, to: intended, id: "j", now: time(5), jitter: 0)
        #expect(asked.job.state == .queued && asked.job.cancelReason == "enough" && asked.events.isEmpty)
        let end = SlurmReport.ended(AttemptOutcome(failure: .signal), SlurmEnding())
        let ended = try JobMachine.apply(.slurm(attempt: 1, end), to: asked.job, id: "j", now: time(6), jitter: 0)
        #expect(ended.job.state == .cancelled)
        #expect(try JobMachine.apply(cancel, to: job(), id: "j", now: time(5), jitter: 0).job.state == .cancelled)
    }

    @Test func `a deadline marks a job that is on its way, and fails one that is not`() throws {
        let (intended, _) = try after([.intended(name: "dspy-a-1")])
        let marked = try JobMachine.apply(.expire, to: intended, id: "j", now: time(5), jitter: 0)
        #expect(marked.job.state == .queued && marked.job.isExpired)
        #expect(try JobMachine.apply(.expire, to: job(), id: "j", now: time(5), jitter: 0).job.state == .failed)
    }

    @Test func `a failure is retried as the policy says, by a new intent`() throws {
        let waiting = job(retry: RetryPolicy(maxAttempts: 2))
        let end = SlurmReport.ended(AttemptOutcome(failure: .nodeFailure), SlurmEnding(state: "NODE_FAIL"))
        let (retried, events) = try after(there + [ran, end], job: waiting)
        #expect(retried.state == .queued && retried.slurm?.isOpen == false && events.last == "task_retrying")
        let next = try JobMachine.apply(
            .slurm(attempt: 2, .intended(name: "dspy-a-2")), to: retried, id: "j", now: time(9), jitter: 0)
        #expect(next.job.attempt == 2 && next.job.slurmJobID == "" && next.job.slurm?.name == "dspy-a-2")
    }

    @Test func `cancelled in Slurm itself is cancelled, and says so`() throws {
        let end = SlurmReport.ended(
            AttemptOutcome(failure: .signal),
            SlurmEnding(state: "CANCELLED", cancelledThere: "Slurm job 7 was cancelled in Slurm by user 0"))
        let (job, events) = try after(there + [ran, end])
        #expect(job.state == .cancelled && job.error == "Slurm job 7 was cancelled in Slurm by user 0")
        #expect(events.last == "task_cancelled")
    }

    @Test func `a deadline is no cancel, though Slurm takes it for one`() throws {
        let (running, _) = try after(there + [ran])
        let late = try JobMachine.apply(.expire, to: running, id: "j", now: time(5), jitter: 0).job
        let end = SlurmReport.ended(
            AttemptOutcome(failure: .signal),
            SlurmEnding(state: "CANCELLED", cancelledThere: "Slurm job 7 was cancelled in Slurm by user 0"))
        let ended = try JobMachine.apply(.slurm(attempt: 1, end), to: late, id: "j", now: time(6), jitter: 0).job
        #expect(ended.state == .failed && ended.failureReason == .timeout)
    }

    @Test func `what accounting says later is kept, and nothing else changes`() throws {
        let (ended, _) = try after(there + [ran, .ended(AttemptOutcome(), SlurmEnding())])
        let report = SlurmReport.measured(elapsedSeconds: 4, maxRSSBytes: 1 << 20)
        let measured = try JobMachine.apply(.slurm(attempt: 1, report), to: ended, id: "j", now: time(9), jitter: 0)
        #expect(measured.job.slurm?.maxRSSBytes == 1 << 20 && measured.events.isEmpty)
        #expect(measured.job.state == .succeeded && measured.job.finishedAt == ended.finishedAt)
    }

    @Test func `the facts come back from the ledger as they were`() throws {
        var facts = SlurmFacts(name: "dspy-a-1", intendedAt: Self.start)
        facts.nodes = "n[1-2]"
        facts.elapsedSeconds = 1.25
        facts.restarts = 2
        #expect(try SlurmFacts(json: facts.json) == facts)
    }
}
