import Orchestrator
import Protocol
import Testing

@testable import Services

@Suite struct JobMappingTests {
    @Test func aSubmissionKeepsEveryFieldItAsksFor() throws {
        let spec = try JobSpec(
            Wire.SubmitJobRequest(
                jobID: "a", jobClass: .gpu, payload: Array(#"{"command":["x"]}"#.utf8), priority: -3,
                labels: ["team": "blue"], timeout: .init(seconds: 2, nanos: 500_000_000),
                retry: .init(
                    maxAttempts: 4, initialBackoff: .init(seconds: 1), maxBackoff: .init(seconds: 9),
                    retryOn: [.timeout, .signal]),
                dependsOn: ["p", "q"], deadline: .init(seconds: 60)))
        #expect(spec.id == "a")
        #expect(spec.jobClass == .gpu)
        #expect(spec.payload == Array(#"{"command":["x"]}"#.utf8))
        #expect(spec.priority == -3)
        #expect(spec.labels == ["team": "blue"])
        #expect(spec.timeout == .milliseconds(2_500))
        #expect(spec.dependsOn == ["p", "q"])
        #expect(spec.deadline == .seconds(60))
        #expect(
            spec.retry
                == RetryPolicy(
                    maxAttempts: 4, initialBackoff: .seconds(1), maxBackoff: .seconds(9),
                    retryOn: [FailureReason.timeout.rawValue, FailureReason.signal.rawValue]))
    }

    @Test func whatIsAbsentIsTheDefault() throws {
        let spec = try JobSpec(Wire.SubmitJobRequest(timeout: .init()))
        #expect(spec.jobClass == .cpuShort)
        #expect(spec.payload == Array("{}".utf8))
        #expect(spec.timeout == nil && spec.deadline == nil)
        #expect(spec.dependsOn.isEmpty && spec.resources == .unspecified)
        #expect(spec.retry == .none)
    }

    @Test(arguments: [
        (Wire.SubmitJobRequest(jobClass: .init(rawValue: 9)), "job_class", "9"),
        (Wire.SubmitJobRequest(timeout: .init(seconds: 1, nanos: -1)), "timeout", "-1 ns"),
        (
            Wire.SubmitJobRequest(retry: .init(initialBackoff: .init(nanos: 1_000_000_000))),
            "retry.initial_backoff", "ns"
        ),
    ])
    func aBadFieldIsNamedWithItsValue(request: Wire.SubmitJobRequest, field: String, value: String) throws {
        let error = try #require(throws: OrchestratorError.self) { try JobSpec(request) }
        #expect(error.kind == .invalidArgument(field: field))
        #expect(error.message.contains(field) && error.message.contains(value))
    }

    @Test(arguments: [Wire.JobClass.cpuShort, .gpu, .gpuSlurm])
    func `what a job may use is passed on`(_ jobClass: Wire.JobClass) throws {
        let resources = Wire.Resources(cpus: 0.5, memoryBytes: 2, gpus: 3, processes: 4)
        let spec = try JobSpec(Wire.SubmitJobRequest(jobClass: jobClass, resources: resources))
        #expect(spec.resources == Resources(cpus: 0.5, memoryBytes: 2, gpus: 3, processes: 4))
    }

    @Test func aJobGoesOutWhole() throws {
        var job = Job(
            spec: JobSpec(
                id: "j", jobClass: .cpuLong, payload: [1], priority: 5, labels: ["k": "v"], deadline: .seconds(2),
                dependsOn: ["p"]),
            submittedAt: Orchestrator.Timestamp(nanoseconds: 1_500_000_000))
        job.state = .failed
        job.attempt = 2
        job.startedAt = Orchestrator.Timestamp(nanoseconds: 2_000_000_001)
        job.finishedAt = Orchestrator.Timestamp(nanoseconds: -1)
        job.exitCode = 3
        job.signal = 9
        job.failureReason = .signal
        job.error = "it broke"
        job.result = [2]
        job.lastSequence = 77
        let wire = Wire.Job(job)
        #expect(wire.jobID == "j" && wire.jobClass == .cpuLong && wire.state == .failed && wire.attempt == 2)
        #expect(wire.submittedAt == .init(seconds: 1, nanos: 500_000_000))
        #expect(wire.startedAt == .init(seconds: 2, nanos: 1))
        // Before 1970 the nanoseconds still count forward, as protobuf asks.
        #expect(wire.finishedAt == .init(seconds: -1, nanos: 999_999_999))
        #expect(wire.exitCode == 3 && wire.signal == 9 && wire.failureReason == .signal && wire.error == "it broke")
        #expect(wire.result == [2] && wire.payload == [1] && wire.labels == ["k": "v"] && wire.priority == 5)
        #expect(wire.lastSequence == 77)
        #expect(wire.dependsOn == ["p"] && wire.deadline == .init(seconds: 3, nanos: 500_000_000))
    }
}
