import Protocol

/// One message of each kind with every field set to something other than its default.
enum Samples {
    static let timestamp = Wire.Timestamp(seconds: 1_700_000_000, nanos: 999_999_999)
    static let duration = Wire.Duration(seconds: -5, nanos: -500_000_000)
    static let labels = ["team": "α", "": "", "run": "7"]
    static let bytes: [UInt8] = Array(0...255)

    static let retry = Wire.RetryPolicy(
        maxAttempts: .max, initialBackoff: duration, maxBackoff: Wire.Duration(seconds: 300),
        retryOn: [.exitCode, .runnerError, Wire.FailureReason(rawValue: 77)])

    static let submission = Wire.SubmitJobRequest(
        jobID: "job-1", jobClass: .gpuSlurm, payload: bytes, priority: -3, labels: labels, timeout: duration,
        retry: retry, dependsOn: ["a", "", "ü"],
        resources: Wire.Resources(cpus: 0.5, memoryBytes: .max, gpus: 8, processes: 1))

    static let job = Wire.Job(
        jobID: "job-1", jobClass: .cpuLong, state: .cancelled, attempt: 3, submittedAt: timestamp,
        startedAt: Wire.Timestamp(seconds: -1, nanos: 1), finishedAt: Wire.Timestamp(), exitCode: -1, signal: 9,
        failureReason: .preempted, error: "line", result: bytes, slurmJobID: "123_4", payload: [0], labels: labels,
        priority: .min, lastSequence: .max)

    static let event = Wire.Event(
        sequence: 1 << 63, type: "task_submitted", jobID: "job-1", time: timestamp, attempt: 1, state: .running,
        data: bytes, source: "rpc")

    static let status = Wire.Status(
        code: 5, message: "no such job", details: [Wire.AnyMessage(typeUrl: "t/x", value: bytes)])

    static let metrics = Wire.GetMetricsResponse(
        metrics: [Wire.Metric(name: "n", labels: labels, type: .gauge, value: -0.25), Wire.Metric()],
        classes: [
            Wire.ClassStats(
                jobClass: .gpu, submitted: 1, succeeded: 2, failed: 3, cancelled: 4,
                errors: [Wire.ReasonCount(reason: .lost, count: 9)], p50Seconds: 0.5, p95Seconds: 1e9,
                p99Seconds: .infinity, queueDepth: 5, inflight: 6, concurrencyLimit: 7)
        ], uptimeSeconds: 1.5, version: "1.0")

    static let all: [any WireMessage & Equatable] = [
        submission, Wire.SubmitJobRequest(), job, Wire.Job(), event, Wire.Event(), status, metrics, retry,
        timestamp, duration,
        Wire.SubmitJobResponse(job: job, alreadyExisted: true),
        Wire.SubmitJobsRequest(jobs: [submission, Wire.SubmitJobRequest()]),
        Wire.SubmitJobsResponse(results: [
            Wire.SubmitJobResult(job: job, alreadyExisted: true), Wire.SubmitJobResult(error: status),
        ]),
        Wire.GetStatusRequest(jobID: "job-1"), Wire.GetStatusResponse(job: job),
        Wire.ListJobsRequest(
            states: [.queued, .running, Wire.JobState(rawValue: -1)], classes: [.cpuShort, .gpu], labels: labels,
            pageSize: -1, pageToken: "t", submittedAfter: timestamp, submittedBefore: timestamp),
        Wire.ListJobsResponse(jobs: [job, Wire.Job()], nextPageToken: "next"),
        Wire.CancelJobRequest(jobID: "job-1", reason: "why"), Wire.CancelJobResponse(job: job),
        Wire.StreamEventsRequest(
            afterSequence: .max, jobIDs: ["a", "b"], types: ["x"], fromNow: true, endWhenDone: true),
        Wire.StreamLogsRequest(jobID: "job-1", stream: .stderr, offset: .max, follow: true, attempt: 2),
        Wire.LogChunk(stream: .stdout, offset: 1, data: bytes, truncated: true),
        Wire.GetMetricsRequest(), Wire.Resources(cpus: -1, memoryBytes: 1, gpus: 2, processes: 3),
        Wire.BadRequest(fieldViolations: [Wire.BadRequest.FieldViolation(field: "f", description: "d")]),
        Wire.RetryInfo(retryDelay: duration), Wire.AnyMessage(typeUrl: "t", value: [1]),
    ]
}
