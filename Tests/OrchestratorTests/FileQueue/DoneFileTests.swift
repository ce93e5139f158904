import Testing

@testable import Orchestrator

@Suite struct DoneFileTests {
    private func ended(_ state: JobState, _ change: (inout Job) -> Void = { _ in }) -> Job {
        let start = Timestamp(nanoseconds: 1_700_000_000_000_000_000)
        var job = Job(spec: JobSpec(id: "a"), submittedAt: start)
        job.state = state
        job.attempt = 2
        job.startedAt = start.advanced(by: .seconds(1))
        job.finishedAt = start.advanced(by: .seconds(3))
        change(&job)
        return job
    }

    private func read(_ job: Job) throws -> TaskEnd { try #require(DoneFile.end(DoneFile.text(of: job), of: job.id)) }

    @Test func `what one server writes another reads`() throws {
        let good = ended(.succeeded) { $0.result = Array(#"{"a": [1, null]}"#.utf8) }
        #expect(
            try read(good)
                == TaskEnd(
                    state: .succeeded, outcome: AttemptOutcome(result: good.result), attempt: 2, duration: .seconds(2),
                    endedAt: good.finishedAt))
        let failed = ended(.failed) {
            $0.signal = 9
            $0.failureReason = .outOfMemory
            $0.error = "no \"memory\""
        }
        #expect(
            try read(failed).outcome == AttemptOutcome(signal: 9, failure: .outOfMemory, error: "no \"memory\""))
        let never = ended(.cancelled) {
            $0.attempt = 0
            $0.startedAt = nil
            $0.error = "enough"
        }
        let end = try read(never)
        #expect(end.state == .cancelled && end.outcome.error == "enough" && end.attempt == 0 && end.duration == nil)
    }

    @Test(arguments: [
        (#""exit_code":3,"signal":0"#, FailureReason.exitCode), (#""exit_code":0,"signal":9"#, .signal),
        (#""exit_code":null,"signal":null"#, .runnerError), (#""exit_code":1,"failure_reason":"odd""#, .exitCode),
    ])
    func `a failure that does not say why says it by its exit`(members: String, reason: FailureReason) throws {
        let text = Array(#"{"id":"a","status":"failed",\#(members)}"#.utf8)
        #expect(DoneFile.end(text, of: "a")?.outcome.failure == reason)
    }

    @Test(arguments: [
        "", "{", "[]", #"{"id":"b","status":"completed"}"#, #"{"status":"completed"}"#, #"{"id":"a"}"#,
        #"{"id":"a","status":"running"}"#, #"{"id":"a","status":1}"#,
    ])
    func `what is no end of the job says nothing`(text: String) {
        #expect(DoneFile.end(Array(text.utf8), of: "a") == nil)
    }

    @Test func `numbers beyond their kind are taken as the nearest`() {
        let text = #"{"id":"a","status":"completed","attempt":-1,"exit_code":1e300,"duration_ms":-5}"#
        let end = DoneFile.end(Array(text.utf8), of: "a")
        #expect(end?.attempt == 0 && end?.outcome.exitCode == 0 && end?.duration == .zero)
    }
}
