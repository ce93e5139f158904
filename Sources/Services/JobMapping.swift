import Orchestrator
import Protocol

// The domain's job on the wire, and back. Field by field on purpose: the wire's rules (0 is absent) end here.

extension JobSpec {
    /// What a submission asks for, once what this server cannot do has been refused.
    init(
        _ request: Wire.SubmitJobRequest, field prefix: String = "", traceParent: String? = nil
    ) throws(OrchestratorError) {
        // The file queue takes a task without a class as cpu_short; the RPC is no stricter.
        let classNumber = request.jobClass == .unspecified ? JobClass.cpuShort.rawValue : request.jobClass.rawValue
        guard let jobClass = JobClass(rawValue: classNumber) else {
            throw .invalidArgument(
                "\(prefix)job_class", "\(prefix)job_class: \(classNumber) is not a JobClass; send 1 to 4")
        }
        let resources = Resources(request.resources ?? .init())
        self.init(
            id: request.jobID, jobClass: jobClass,
            payload: request.payload.isEmpty ? Array("{}".utf8) : request.payload,
            priority: request.priority, labels: request.labels,
            timeout: try Self.limit(request.timeout, field: "\(prefix)timeout"),
            deadline: try Self.limit(request.deadline, field: "\(prefix)deadline"),
            retry: try request.retry.map { retry throws(OrchestratorError) in try RetryPolicy(retry, field: prefix) }
                ?? .none,
            dependsOn: request.dependsOn, resources: resources, source: .rpc, traceParent: traceParent)
    }

    /// Absent and 0 are the default: the class's timeout, no deadline.
    private static func limit(
        _ duration: Wire.Duration?, field: String
    ) throws(OrchestratorError) -> Swift.Duration? {
        guard let duration, duration != Wire.Duration() else { return nil }
        return try checked(duration, field: field)
    }

    fileprivate static func checked(
        _ duration: Wire.Duration, field: String
    ) throws(OrchestratorError) -> Swift.Duration {
        do {
            return try duration.checked(field: field)
        } catch {
            throw .invalidArgument(error.field, error.description)
        }
    }
}

extension Resources {
    init(_ resources: Wire.Resources) {
        self.init(
            cpus: resources.cpus, memoryBytes: resources.memoryBytes, gpus: resources.gpus,
            processes: resources.processes)
    }
}

extension RetryPolicy {
    init(_ retry: Wire.RetryPolicy, field prefix: String) throws(OrchestratorError) {
        self.init(
            maxAttempts: retry.maxAttempts,
            initialBackoff: try retry.initialBackoff.map { backoff throws(OrchestratorError) in
                try JobSpec.checked(backoff, field: "\(prefix)retry.initial_backoff")
            },
            maxBackoff: try retry.maxBackoff.map { backoff throws(OrchestratorError) in
                try JobSpec.checked(backoff, field: "\(prefix)retry.max_backoff")
            },
            retryOn: retry.retryOn.map(\.rawValue))
    }
}

extension Wire.Job {
    public init(_ job: Orchestrator.Job) {
        self.init(
            jobID: job.id, jobClass: .init(rawValue: job.jobClass.rawValue), state: .init(rawValue: job.state.rawValue),
            attempt: job.attempt, submittedAt: .init(job.submittedAt), startedAt: job.startedAt.map { .init($0) },
            finishedAt: job.finishedAt.map { .init($0) }, exitCode: job.exitCode, signal: job.signal,
            failureReason: .init(rawValue: job.failureReason?.rawValue ?? 0), error: job.error, result: job.result,
            slurmJobID: job.slurmJobID, payload: job.spec.payload, labels: job.spec.labels, priority: job.spec.priority,
            lastSequence: job.lastSequence, dependsOn: job.spec.dependsOn, deadline: job.deadline.map { .init($0) })
    }
}

extension Wire.Event {
    public init(_ event: Orchestrator.Event) {
        self.init(
            sequence: event.sequence, type: event.type.rawValue, jobID: event.jobID, time: .init(event.time),
            attempt: event.attempt, state: .init(rawValue: event.state?.rawValue ?? 0),
            data: event.data,
            source: event.source)
    }
}

extension Wire.Timestamp {
    public init(_ timestamp: Orchestrator.Timestamp) {
        let seconds = timestamp.seconds
        self.init(seconds: seconds, nanos: Int32(timestamp.nanoseconds - seconds * 1_000_000_000))
    }
}

extension Orchestrator.Timestamp {
    /// nil when it lies outside of what 64 bits of nanoseconds reach.
    init?(_ timestamp: Wire.Timestamp) {
        let (nanoseconds, overflow) = timestamp.seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, overflowed) = nanoseconds.addingReportingOverflow(Int64(timestamp.nanos))
        guard !overflow, !overflowed, timestamp.nanos >= 0, timestamp.nanos < 1_000_000_000 else { return nil }
        self.init(nanoseconds: sum)
    }
}
