import Testing

@testable import Orchestrator

@Suite struct RunnerMetricsTests {
    private let registry = MetricsRegistry()
    private let start = Timestamp(nanoseconds: 1_000_000_000)

    private func metrics(gpu: Double? = nil) -> RunnerMetrics {
        RunnerMetrics(registry, classes: [.cpuShort, .cpuLong], queueDepth: { 7 }, gpuUtilization: { gpu })
    }

    /// A job after an attempt that ran for so many seconds.
    private func change(
        _ state: JobState, _ seconds: Double, _ failure: FailureReason? = nil, jobClass: JobClass = .cpuShort,
        _ more: (inout Job) -> Void = { _ in }
    ) -> CommittedBatch.Change {
        var job = Job(spec: JobSpec(id: "a", jobClass: jobClass), submittedAt: start)
        job.state = state
        job.startedAt = start
        job.finishedAt = start.advanced(by: .milliseconds(Int64(seconds * 1000)))
        job.failureReason = failure
        more(&job)
        return CommittedBatch.Change(job: job, oldState: .running)
    }

    private func batch(_ changes: CommittedBatch.Change...) -> CommittedBatch {
        CommittedBatch(events: [], changeOfEvent: [], changes: changes, rows: 0, commitSeconds: 0)
    }

    @Test func `before anything has run nothing is measured`() {
        let summary = metrics().summary
        #expect(summary.processed == [.cpuShort: 0, .cpuLong: 0])
        #expect(summary.p95Seconds == nil && summary.averageSeconds == nil && summary.gpuUtilization == nil)
        #expect(summary.queueDepth == 7)
        #expect(!registry.snapshot().contains { $0.name == "env_runner_gpu_utilization" })
    }

    @Test func `ends are counted by class, and failures by reason`() {
        let metrics = metrics(gpu: 0.25)
        metrics.observe(
            batch(
                change(.succeeded, 1), change(.failed, 3, .exitCode),
                change(.failed, 2, .outOfMemory, jobClass: .cpuLong)))
        let summary = metrics.summary
        #expect(summary.processed == [.cpuShort: 2, .cpuLong: 1])
        #expect(summary.errors == [.cpuShort: [.exitCode: 1], .cpuLong: [.outOfMemory: 1]])
        #expect(summary.averageSeconds == 2)
        #expect(summary.gpuUtilization == 0.25)
        #expect(registry.snapshot().contains { $0.name == "env_runner_gpu_utilization" })
    }

    @Test func `an attempt that is retried is an error and no end, one that is given back is neither`() {
        let metrics = metrics()
        metrics.observe(
            batch(
                change(.queued, 1, .exitCode) { $0.notBefore = start },
                change(.queued, 1) { $0.startedAt = nil }))
        #expect(metrics.summary.processed[.cpuShort] == 0)
        #expect(metrics.summary.errors[.cpuShort] == [.exitCode: 1])
    }

    @Test func `what another runner took over is not counted here`() {
        let metrics = metrics()
        metrics.observe(
            batch(
                change(.queued, 1) { $0.claim = .elsewhere },
                // Stopped here and ended there between two commits.
                change(.failed, 1, .exitCode) { $0.claim = .elsewhere }))
        #expect(metrics.summary.processed[.cpuShort] == 0)
        #expect(metrics.summary.errors[.cpuShort] == [:])
    }
}
