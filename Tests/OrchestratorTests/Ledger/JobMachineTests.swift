import Testing

@testable import Orchestrator

@Suite struct JobMachineTests {
    let start = Timestamp(nanoseconds: 1_700_000_000_000_000_000)

    func at(_ seconds: Int64) -> Timestamp { start.advanced(by: .seconds(seconds)) }

    func apply(
        _ command: JobMachine.Command, to job: Job?, at seconds: Int64 = 0, jitter: Double = 0.5
    ) throws -> JobMachine.Transition {
        try JobMachine.apply(command, to: job, id: job?.id ?? "a", now: at(seconds), jitter: jitter)
    }

    func queued(_ retry: RetryPolicy = .none) throws -> Job {
        try apply(.submit(JobSpec(id: "a", retry: retry, source: .http)), to: nil).job
    }

    func running(_ retry: RetryPolicy = .none) throws -> Job { try apply(.start, to: queued(retry), at: 1).job }

    func text(_ event: Event?) -> String { String(decoding: event?.data ?? [], as: UTF8.self) }

    static let failure = AttemptOutcome(exitCode: 3, failure: .exitCode, error: "it \"broke\"\n")

    @Test func submittingQueuesTheJob() throws {
        let result = try apply(.submit(JobSpec(id: "a", source: .http)), to: nil)
        #expect(result.changed && result.job.state == .queued && result.job.attempt == 0)
        #expect(result.job.submittedAt == start)
        #expect(result.events.map(\.type) == [.taskSubmitted])
        #expect(result.events.first?.source == "http")
        #expect(text(result.events.first) == #"{"task_id":"a","class":"cpu_short"}"#)
    }

    @Test func submittingTheSameContentAgainChangesNothingWhateverTheSource() throws {
        let job = try running()
        let result = try apply(.submit(JobSpec(id: "a", source: .rpc)), to: job)
        #expect(result == JobMachine.Transition(job: job, changed: false))
    }

    @Test func submittingOtherContentNamesWhatDiffers() throws {
        let other = JobSpec(id: "a", payload: Array(#"{"x":1}"#.utf8), priority: 2)
        let error = #expect(throws: OrchestratorError.self) { try apply(.submit(other), to: queued()) }
        #expect(error?.kind == .alreadyExists)
        #expect(
            error?.message
                == "job_id \"a\" already exists with a different payload and priority; use a new id or send the same content"
        )
    }

    @Test func startingTakesTheNextAttempt() throws {
        let result = try apply(.start, to: queued(), at: 5)
        #expect(result.job.state == .running && result.job.attempt == 1 && result.job.startedAt == at(5))
        #expect(result.events.map(\.type) == [.taskStarted])
        #expect(result.events.first?.source == "runner")
        #expect(text(result.events.first) == #"{"task_id":"a","class":"cpu_short","attempt":1}"#)
    }

    @Test func onlyAQueuedJobStarts() throws {
        for job in [
            try running(), try apply(.cancel(reason: "", source: "rpc"), to: queued()).job,
            try apply(.finish(attempt: 1, AttemptOutcome()), to: running()).job,
        ] {
            let error = #expect(throws: OrchestratorError.self) { try apply(.start, to: job) }
            #expect(error?.kind == .failedPrecondition)
        }
    }

    @Test func anAttemptThatWentWellCompletesTheJob() throws {
        let result = try apply(.finish(attempt: 1, AttemptOutcome(result: [49])), to: running(), at: 3)
        #expect(result.job.state == .succeeded && result.job.result == [49] && result.job.finishedAt == at(3))
        #expect(result.events.map(\.type) == [.taskCompleted])
        #expect(
            text(result.events.first)
                == #"{"task_id":"a","class":"cpu_short","attempt":1,"exit_code":0,"duration_ms":2000}"#)
    }

    @Test func anAttemptThatWentWrongFailsTheJobWithoutAPolicy() throws {
        let result = try apply(.finish(attempt: 1, Self.failure), to: running(), at: 3)
        #expect(result.job.state == .failed && result.job.failureReason == .exitCode && result.job.exitCode == 3)
        #expect(result.events.map(\.type) == [.taskFailed])
        #expect(
            text(result.events.first)
                == #"{"task_id":"a","class":"cpu_short","attempt":1,"exit_code":3,"duration_ms":2000,"reason":"exit_code","signal":0,"error":"it \"broke\"\n"}"#
        )
    }

    @Test func aRetryGoesBackIntoTheQueueWithItsBackoff() throws {
        let policy = RetryPolicy(maxAttempts: 3, initialBackoff: .seconds(10))
        let first = try apply(.finish(attempt: 1, Self.failure), to: running(policy), at: 3)
        #expect(first.job.state == .queued && first.job.attempt == 1 && first.job.notBefore == at(13))
        #expect(first.events.map(\.type) == [.taskRetrying])
        #expect(
            text(first.events.first).contains(#""reason":"exit_code","error":"it \"broke\"\n","next_attempt_at":"2023"#)
        )

        let second = try apply(
            .finish(attempt: 2, Self.failure), to: apply(.start, to: first.job, at: 13).job, at: 20)
        #expect(second.job.notBefore == at(40))
        let last = try apply(.finish(attempt: 3, Self.failure), to: apply(.start, to: second.job, at: 40).job, at: 50)
        #expect(last.job.state == .failed && last.job.attempt == 3)
    }

    @Test func aRetryNeedsAReasonThePolicyNames() throws {
        func state(_ policy: RetryPolicy, _ reason: FailureReason) throws -> JobState {
            try apply(.finish(attempt: 1, AttemptOutcome(failure: reason)), to: running(policy)).job.state
        }
        #expect(try state(RetryPolicy(maxAttempts: 2), .timeout) == .queued)
        #expect(try state(RetryPolicy(maxAttempts: 2), .submitRejected) == .failed)
        #expect(try state(RetryPolicy(maxAttempts: 2, retryOn: [3]), .timeout) == .queued)
        #expect(try state(RetryPolicy(maxAttempts: 2, retryOn: [3]), .exitCode) == .failed)
        #expect(try state(RetryPolicy(maxAttempts: 2, retryOn: [7]), .submitRejected) == .queued)
        #expect(try state(RetryPolicy(maxAttempts: 1), .timeout) == .failed)
    }

    @Test(arguments: [(1, 1_000), (2, 2_000), (3, 4_000), (9, 256_000), (10, 300_000), (100, 300_000)])
    func theBackoffDoublesUpToItsLongest(failures: UInt32, milliseconds: Int) {
        let policy = RetryPolicy(maxAttempts: 100)
        #expect(policy.backoff(failures: failures, jitter: 0.5) == .milliseconds(milliseconds))
        #expect(policy.backoff(failures: failures, jitter: 0) == .milliseconds(milliseconds * 4 / 5))
        #expect(policy.backoff(failures: failures, jitter: 1) == .milliseconds(min(milliseconds * 6 / 5, 300_000)))
    }

    @Test func aBackoffOfNothingStaysNothing() {
        #expect(RetryPolicy(initialBackoff: .zero).backoff(failures: 50, jitter: 1) == .zero)
        #expect(RetryPolicy(initialBackoff: .seconds(9), maxBackoff: .zero).backoff(failures: 2, jitter: 1) == .zero)
    }

    @Test func aStaleReportChangesNothing() throws {
        let policy = RetryPolicy(maxAttempts: 3)
        let retrying = try apply(.finish(attempt: 1, Self.failure), to: running(policy)).job
        let second = try apply(.start, to: retrying).job
        let ended = try apply(.finish(attempt: 2, AttemptOutcome()), to: second).job
        for job in [retrying, second, ended] {
            for command in [JobMachine.Command.finish(attempt: 1, AttemptOutcome()), .release(attempt: 1)] {
                #expect(try apply(command, to: job) == JobMachine.Transition(job: job, changed: false))
            }
        }
        #expect(try apply(.finish(attempt: 2, Self.failure), to: ended).changed == false)
    }

    @Test func cancellingAQueuedJobEndsItAtOnce() throws {
        let result = try apply(.cancel(reason: "no more", source: "rpc"), to: queued(), at: 2)
        #expect(result.job.state == .cancelled && result.job.finishedAt == at(2) && result.job.error == "no more")
        #expect(result.events.map(\.type) == [.taskCancelled])
        #expect(result.events.first?.source == "rpc")
        #expect(text(result.events.first).hasSuffix(#""reason":"no more"}"#))
    }

    @Test func cancellingARunningJobWaitsForItsEnd() throws {
        let asked = try apply(.cancel(reason: "stop", source: "http"), to: running(RetryPolicy(maxAttempts: 5)))
        #expect(asked.changed && asked.job.state == .running && asked.job.cancelReason == "stop")
        #expect(asked.events.isEmpty)
        #expect(try apply(.cancel(reason: "again", source: "rpc"), to: asked.job).changed == false)

        let end = try apply(.finish(attempt: 1, AttemptOutcome(signal: 15, failure: .signal)), to: asked.job, at: 4)
        #expect(end.job.state == .cancelled && end.job.signal == 15 && end.job.error == "stop")
        #expect(end.events.map(\.source) == ["http"])
        let never = try apply(.release(attempt: 1), to: asked.job)
        #expect(never.job.state == .cancelled && never.events.map(\.type) == [.taskCancelled])
    }

    @Test func cancellingAnEndedJobLeavesItAsItIs() throws {
        for outcome in [AttemptOutcome(), Self.failure] {
            let job = try apply(.finish(attempt: 1, outcome), to: running()).job
            #expect(
                try apply(.cancel(reason: "x", source: "rpc"), to: job)
                    == JobMachine.Transition(job: job, changed: false))
        }
    }

    @Test func aReleasedAttemptDoesNotCountAgainstThePolicy() throws {
        let policy = RetryPolicy(maxAttempts: 2, initialBackoff: .seconds(10))
        let released = try apply(.release(attempt: 1), to: running(policy), at: 2)
        #expect(released.job.state == .queued && released.job.notBefore == nil && released.job.startedAt == nil)
        #expect(released.events.map(\.type) == [.taskRetrying])
        #expect(text(released.events.first).contains(#""reason":"never_started""#))

        let second = try apply(.start, to: released.job)
        #expect(second.job.attempt == 2)
        let failed = try apply(.finish(attempt: 2, Self.failure), to: second.job, at: 3)
        #expect(failed.job.state == .queued && failed.job.notBefore == at(13))
        let last = try apply(.finish(attempt: 3, Self.failure), to: apply(.start, to: failed.job).job)
        #expect(last.job.state == .failed)
    }

    func late(_ retry: RetryPolicy = .none) throws -> Job {
        try apply(.submit(JobSpec(id: "a", deadline: .seconds(10), retry: retry)), to: nil).job
    }

    @Test func `a waiting job whose deadline has passed fails with a timeout that says what it waited for`() throws {
        let waiting = try apply(.expire, to: late(), at: 10)
        #expect(
            waiting.job.state == .failed && waiting.job.failureReason == .timeout && waiting.job.finishedAt == at(10))
        #expect(waiting.job.error == "its deadline of 10 s passed while it waited for its turn")
        #expect(waiting.events.map(\.type) == [.taskFailed] && waiting.events.map(\.source) == ["server"])

        let policy = RetryPolicy(maxAttempts: 3, initialBackoff: .seconds(5))
        let retrying = try apply(
            .finish(attempt: 1, Self.failure), to: apply(.start, to: late(policy), at: 1).job, at: 2
        ).job
        #expect(retrying.state == .queued)
        #expect(try apply(.expire, to: retrying, at: 10).job.error.hasSuffix("while it waited to be retried"))

        var child = try late()
        child.spec.dependsOn = ["p", "q"]
        child.openParents = 1
        let failed = try apply(.expire, to: child, at: 10).job
        #expect(failed.error.hasSuffix("while it waited for 1 of its 2 parents") && failed.openParents == 0)
    }

    @Test func `a running job whose deadline has passed is marked, and fails once it has ended`() throws {
        let marked = try apply(.expire, to: apply(.start, to: late(RetryPolicy(maxAttempts: 9)), at: 1).job, at: 10)
        #expect(marked.changed && marked.events.isEmpty && marked.job.state == .running && marked.job.isToStop)
        #expect(try apply(.expire, to: marked.job, at: 11).changed == false)
        let end = try apply(.finish(attempt: 1, AttemptOutcome(signal: 15, failure: .signal)), to: marked.job, at: 12)
            .job
        #expect(end.state == .failed && end.failureReason == .timeout && end.signal == 15)
        #expect(end.error == "its deadline of 10 s passed while attempt 1 ran")
        #expect(try apply(.release(attempt: 1), to: marked.job, at: 12).job.failureReason == .timeout)
        let cancelled = try apply(.cancel(reason: "", source: "rpc"), to: marked.job, at: 11).job
        #expect(try apply(.finish(attempt: 1, Self.failure), to: cancelled, at: 12).job.state == .cancelled)
    }

    @Test func `a job is neither started nor retried once it could only begin after its deadline`() throws {
        let error = #expect(throws: OrchestratorError.self) { try apply(.start, to: late(), at: 10) }
        #expect(error?.kind == .failedPrecondition)
        let policy = RetryPolicy(maxAttempts: 9, initialBackoff: .seconds(5), maxBackoff: .seconds(5))
        let running = try apply(.start, to: late(policy), at: 1).job
        #expect(try apply(.finish(attempt: 1, Self.failure), to: running, at: 4).job.state == .queued)
        let last = try apply(.finish(attempt: 1, Self.failure), to: running, at: 5).job
        #expect(last.state == .failed && last.failureReason == .exitCode)
        // The runner keeps the deadline too.
        let stopped = try apply(.finish(attempt: 1, AttemptOutcome(failure: .timeout)), to: running, at: 10).job
        #expect(stopped.error == "its deadline of 10 s passed while attempt 1 ran")
    }

    @Test func `a failed parent fails a waiting job and no other`() throws {
        var waiting = try queued()
        waiting.spec.dependsOn = ["p"]
        waiting.openParents = 1
        let error = #expect(throws: OrchestratorError.self) { try apply(.start, to: waiting) }
        #expect(error?.message.contains("waits for job \"p\"") == true)
        let failed = try apply(.parentFailed("p", .cancelled), to: waiting, at: 3)
        #expect(failed.job.state == .failed && failed.job.failureReason == .dependencyFailed)
        #expect(failed.job.error.hasPrefix("job \"p\" was cancelled") && failed.job.openParents == 0)
        #expect(failed.events.map(\.type) == [.taskFailed])
        #expect(text(failed.events.first).contains(#""reason":"dependency_failed""#))
        for job in [failed.job, try running()] {
            #expect(try apply(.parentFailed("p", .failed), to: job).changed == false)
        }
    }

    @Test func anUnknownJobIsNotFoundByItsName() {
        for command in [
            JobMachine.Command.start, .finish(attempt: 1, AttemptOutcome()), .release(attempt: 1),
            .cancel(reason: "", source: "rpc"),
        ] {
            let error = #expect(throws: OrchestratorError.self) { try apply(command, to: nil) }
            #expect(error?.kind == .notFound)
            #expect(error?.message.contains("\"a\"") == true)
        }
    }
}
