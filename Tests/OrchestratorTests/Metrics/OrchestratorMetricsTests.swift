import Testing

@testable import Orchestrator

@Suite struct OrchestratorMetricsTests {
    private let metrics = OrchestratorMetrics()

    private func second(_ number: Int64) -> Timestamp { Timestamp(nanoseconds: number * 1_000_000_000) }

    private func event(_ type: EventType, _ job: Job, at time: Int64) -> Event {
        Event(
            sequence: 1, type: type, jobID: job.id, time: second(time), attempt: job.attempt, state: job.state,
            data: [], source: "runner")
    }

    private func value(_ name: String, _ labels: String...) -> Double? {
        let family = metrics.registry.snapshot().first { $0.name == name }
        guard case .number(let value)? = family?.samples.first(where: { $0.labels.map(\.value) == labels })?.value
        else { return nil }
        return value
    }

    @Test func `every class, outcome, reason and type is there at zero from the start`() {
        for jobClass in JobClass.allCases {
            for name in [
                "env_queue_depth", "orchestrator_concurrency_limit", "orchestrator_inflight_tasks",
                "orchestrator_jobs_submitted_total", "orchestrator_job_retries_total",
            ] { #expect(value(name, jobClass.word) == 0, "\(name)") }
            for outcome in ["succeeded", "failed", "cancelled"] {
                #expect(value("orchestrator_jobs_completed_total", jobClass.word, outcome) == 0)
            }
            for reason in FailureReason.allCases {
                #expect(value("orchestrator_job_errors_total", jobClass.word, reason.word) == 0)
            }
        }
        for type in EventType.known { #expect(value("events_published_total", type.rawValue) == 0) }
        for name in ["slurm_jobs_submitted_total", "slurm_jobs_completed_total", "slurm_jobs_failed_total"] {
            #expect(value(name) == 0)
        }
    }

    @Test func `a job that is retried once and then succeeds is told whole`() {
        var job = Job(spec: JobSpec(id: "a", jobClass: .gpu), submittedAt: second(100))
        metrics.observe(event(.taskSubmitted, job, at: 100), job: job, from: nil)

        job.state = .running
        job.attempt = 1
        job.startedAt = second(103)
        metrics.observe(event(.taskStarted, job, at: 103), job: job, from: nil)

        job.state = .queued
        job.failureReason = .timeout
        job.notBefore = second(110)
        metrics.observe(event(.taskRetrying, job, at: 108), job: job, from: nil)

        job.state = .running
        job.attempt = 2
        job.startedAt = second(111)
        job.failureReason = nil
        metrics.observe(event(.taskStarted, job, at: 111), job: job, from: nil)

        job.state = .succeeded
        job.finishedAt = second(113)
        metrics.observe(event(.taskCompleted, job, at: 113), job: job, from: nil)

        #expect(value("orchestrator_job_retries_total", "gpu") == 1)
        #expect(value("orchestrator_job_errors_total", "gpu", "timeout") == 1)
        #expect(value("orchestrator_jobs_completed_total", "gpu", "succeeded") == 1)
        #expect(value("events_published_total", "task_started") == 2)

        #expect(histogram("orchestrator_job_queue_seconds")?.sum == 3)
        #expect(histogram("orchestrator_job_run_seconds")?.sum == 7.0)
        #expect(histogram("orchestrator_job_total_seconds")?.sum == 13)

        let stats = metrics.classStats().first { $0.jobClass == .gpu }
        #expect(stats?.submitted == 1)
        #expect(stats?.succeeded == 1)
        #expect(stats?.errors == [.timeout: 1])
        #expect(stats?.p50Seconds == 2.5)
    }

    private func histogram(_ name: String) -> HistogramSnapshot? {
        let family = metrics.registry.snapshot().first { $0.name == name }
        guard case .histogram(let value)? = family?.samples.first(where: { $0.labels[0].value == "gpu" })?.value
        else { return nil }
        return value
    }

    @Test func `a job cancelled before it started has no run time`() {
        var job = Job(spec: JobSpec(id: "a", jobClass: .gpu), submittedAt: second(100))
        job.state = .cancelled
        job.finishedAt = second(104)
        metrics.observe(event(.taskCancelled, job, at: 104), job: job, from: nil)
        #expect(value("orchestrator_jobs_completed_total", "gpu", "cancelled") == 1)
        #expect(histogram("orchestrator_job_run_seconds")?.count == 0)
        #expect(histogram("orchestrator_job_total_seconds")?.sum == 4)
    }

    @Test func `a job cancelled while it waits for a retry counts its ended attempt once`() {
        var job = Job(spec: JobSpec(id: "a", jobClass: .gpu), submittedAt: second(100))
        job.attempt = 1
        job.startedAt = second(101)
        job.failureReason = .exitCode
        metrics.observe(event(.taskRetrying, job, at: 103), job: job, from: .running)
        job.state = .cancelled
        job.failureReason = nil
        metrics.observe(event(.taskCancelled, job, at: 200), job: job, from: .queued)
        #expect(histogram("orchestrator_job_run_seconds")?.sum == 2)
        #expect(value("orchestrator_job_errors_total", "gpu", "exit_code") == 1)
    }

    @Test func `an attempt that never ran is no retry and no error`() {
        var job = Job(spec: JobSpec(id: "a", jobClass: .gpu), submittedAt: second(100))
        job.attempt = 2
        job.failureReason = .exitCode
        metrics.observe(event(.taskRetrying, job, at: 103), job: job, from: .running)
        #expect(value("orchestrator_job_retries_total", "gpu") == 0)
        #expect(value("orchestrator_job_errors_total", "gpu", "exit_code") == 0)
    }

    @Test func `a batch counts each of its events with its job`() {
        var done = Job(spec: JobSpec(id: "a", jobClass: .gpu), submittedAt: second(100))
        done.attempt = 1
        done.startedAt = second(101)
        done.state = .failed
        done.failureReason = .signal
        let new = Job(spec: JobSpec(id: "b", jobClass: .cpuShort), submittedAt: second(102))
        metrics.observe(
            CommittedBatch(
                events: [event(.taskFailed, done, at: 104), event(.taskSubmitted, new, at: 104)],
                changeOfEvent: [0, 1],
                changes: [
                    CommittedBatch.Change(job: done, oldState: .running),
                    CommittedBatch.Change(job: new, oldState: nil),
                ],
                rows: 4, commitSeconds: 0.002))
        #expect(value("orchestrator_jobs_completed_total", "gpu", "failed") == 1)
        #expect(value("orchestrator_job_errors_total", "gpu", "signal") == 1)
        #expect(value("orchestrator_jobs_submitted_total", "cpu_short") == 1)
        #expect(histogram("orchestrator_job_run_seconds")?.sum == 3)
    }

    @Test func `a scheduler's limit is shown, also in the class's numbers`() {
        metrics.followLimits { [.cpuLong: 4] }
        #expect(value("orchestrator_concurrency_limit", "cpu_long") == 4)
        #expect(metrics.classStats().map(\.concurrencyLimit) == [0, 4, 0, 0])
    }

    @Test func `a clock set back makes no negative duration`() {
        var job = Job(spec: JobSpec(id: "a", jobClass: .gpu), submittedAt: second(100))
        job.attempt = 1
        job.state = .running
        job.startedAt = second(90)
        metrics.observe(event(.taskStarted, job, at: 90), job: job, from: nil)
        #expect(histogram("orchestrator_job_queue_seconds")?.sum == 0)
    }

    @Test func `all of it reads as both formats`() {
        let families = metrics.registry.snapshot()
        #expect(Exposition.render(families, as: .openMetrics).hasSuffix("# EOF\n"))
        let lines = Exposition.render(families, as: .prometheusText).split(separator: "\n")
        let series = lines.filter { !$0.hasPrefix("#") }.map { $0.prefix { $0 != " " } }
        #expect(Set(series).count == series.count)
    }
}
