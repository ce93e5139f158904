import Logging
import Orchestrator
import Protocol
import RPCServer

/// `dspy_orchestrator.v1.Orchestrator`: the ledger and its streams, spoken over gRPC.
public struct OrchestratorService: Sendable {
    public static let name = "dspy_orchestrator.v1.Orchestrator"

    /// Jobs that one StreamEvents call may name.
    public static let mostJobIDs = 1_000

    private let ledger: Ledger
    private let logs: JobLogs
    private let metrics: OrchestratorMetrics
    private let version: String
    private let logger: Logger
    /// What is checked before a job is accepted: that its payload can be run here, and that the server takes jobs.
    private let admit: @Sendable (JobSpec) throws(OrchestratorError) -> Void
    private let requeue: @Sendable (_ id: String, _ reason: String) async throws -> Job
    private let quota: PublishQuota
    private let startedAt = ContinuousClock.now

    /// - Parameters:
    ///   - publishedPerSecond: events that one caller may publish; 0 is without limit.
    ///   - requeue: puts a batch job back into Slurm's queue.
    public init(
        ledger: Ledger, logs: JobLogs, metrics: OrchestratorMetrics, version: String, logger: Logger,
        publishedPerSecond: Int = 100, requeue: @escaping @Sendable (String, String) async throws -> Job,
        admit: @escaping @Sendable (JobSpec) throws(OrchestratorError) -> Void
    ) {
        self.ledger = ledger
        self.logs = logs
        self.metrics = metrics
        self.version = version
        self.logger = logger
        self.requeue = requeue
        self.admit = admit
        quota = PublishQuota(perSecond: publishedPerSecond)
    }

    public var methods: [RPCMethod] {
        [
            .unary("/\(Self.name)/SubmitJob", promising: submit),
            .unary("/\(Self.name)/SubmitJobs") { (request: Wire.SubmitJobsRequest, context) in
                try await Status.mapping { try await submit(request, context) }
            },
            .unary("/\(Self.name)/GetStatus", immediate: immediateStatus) { (request: Wire.GetStatusRequest, _) in
                try await Status.mapping {
                    let job = try await ledger.job(try Self.required(request.jobID))
                    return Wire.GetStatusResponse(job: Wire.Job(job))
                }
            },
            .unary("/\(Self.name)/ListJobs") { (request: Wire.ListJobsRequest, _) in
                try await Status.mapping { try await list(request) }
            },
            .unary("/\(Self.name)/CancelJob") { (request: Wire.CancelJobRequest, _) in
                try await Status.mapping { try await cancel(request) }
            },
            .unary("/\(Self.name)/RequeueJob") { (request: Wire.RequeueJobRequest, _) in
                try await Status.mapping {
                    let job = try await requeue(try Self.required(request.jobID), request.reason)
                    return Wire.RequeueJobResponse(job: Wire.Job(job))
                }
            },
            .serverStream("/\(Self.name)/StreamEvents") { (request: Wire.StreamEventsRequest, _) in
                try await Status.mapping { try await stream(request) }
            },
            .unary("/\(Self.name)/PublishEvent") { (request: Wire.PublishEventRequest, context) in
                try await Status.mapping {
                    try await publish(request, by: context.notes.subject ?? context.peer.host)
                }
            },
            .serverStream("/\(Self.name)/StreamLogs") { (request: Wire.StreamLogsRequest, _) in
                try await Status.mapping { try await stream(request) }
            },
            .unary("/\(Self.name)/GetMetrics") { (_: Wire.GetMetricsRequest, _) in snapshot() },
        ]
    }

    private static func required(_ id: String) throws(OrchestratorError) -> String {
        guard !id.isEmpty else { throw .invalidArgument("job_id", "job_id: empty; name the job") }
        return id
    }

    // MARK: Jobs

    private func submit(
        _ request: Wire.SubmitJobRequest, _ notes: CallNotes, _ promise: ResponsePromise<Wire.SubmitJobResponse>
    ) {
        do throws(OrchestratorError) {
            let spec = try JobSpec(request, traceParent: notes.traceParent)
            try admit(spec)
            ledger.submit(spec) { result in
                switch result {
                case .success(let submission):
                    promise.succeed {
                        Wire.SubmitJobResponse(
                            job: Wire.Job(submission.job), alreadyExisted: submission.alreadyExisted)
                    }
                case .failure(let error):
                    promise.fail(Status(error))
                }
            }
        } catch {
            promise.fail(Status(error))
        }
    }

    private func submit(
        _ request: Wire.SubmitJobsRequest, _ context: CallContext
    ) async throws -> Wire.SubmitJobsResponse {
        guard request.jobs.count <= Ledger.largestBatch else {
            throw OrchestratorError.invalidArgument(
                "jobs", "jobs: \(request.jobs.count) in one call; send at most \(Ledger.largestBatch)")
        }
        let traceParent = context.traceParent
        let requests = request.jobs.enumerated().map { index, job in
            Result { () throws(OrchestratorError) in
                try JobSpec(job, field: "jobs[\(index)].", traceParent: traceParent)
            }
        }
        let results = await ledger.submit(requests: requests, admit: admit).map { verdict in
            switch verdict {
            case .success(let submission):
                Wire.SubmitJobResult(job: Wire.Job(submission.job), alreadyExisted: submission.alreadyExisted)
            case .failure(let error):
                Wire.SubmitJobResult(error: Status(error).message(Wire.Status.self))
            }
        }
        return Wire.SubmitJobsResponse(results: results)
    }

    /// From memory, encoded once per change of the job: the path of a client that polls.
    private var immediateStatus: ImmediateHandler {
        { [ledger] bytes, reply in
            let request: Wire.GetStatusRequest
            do throws(WireError) {
                request = try Wire.GetStatusRequest(decoding: bytes, in: reply.arena)
            } catch {
                return .failed(.malformed(error))
            }
            return ledger.withEncodedJob(request.jobID) { reply.write(framed: $0) } ? .answered : .deferred
        }
    }

    private func cancel(_ request: Wire.CancelJobRequest) async throws -> Wire.CancelJobResponse {
        let id = try Self.required(request.jobID)
        guard request.reason.utf8.count <= 1_024 else {
            throw OrchestratorError.invalidArgument(
                "reason", "reason: \(request.reason.utf8.count) bytes; send at most 1024")
        }
        let job = try await ledger.cancel(id, reason: request.reason, source: "rpc")
        return Wire.CancelJobResponse(job: Wire.Job(job))
    }

    private func list(_ request: Wire.ListJobsRequest) async throws -> Wire.ListJobsResponse {
        guard request.pageSize >= 0, request.pageSize <= 1_000 else {
            throw OrchestratorError.invalidArgument(
                "page_size", "page_size: \(request.pageSize); send 0 (the default, 100) to 1000")
        }
        let page = try await ledger.list(
            JobQuery(
                states: Set(
                    try request.states.map { state in
                        guard let known = JobState(rawValue: state.rawValue) else {
                            throw OrchestratorError.invalidArgument(
                                "states", "states: \(state.rawValue) is not a JobState; send 1 to 6")
                        }
                        return known
                    }),
                classes: Set(
                    try request.classes.map { jobClass in
                        guard let known = JobClass(rawValue: jobClass.rawValue) else {
                            throw OrchestratorError.invalidArgument(
                                "classes", "classes: \(jobClass.rawValue) is not a JobClass; send 1 to 4")
                        }
                        return known
                    }),
                labels: request.labels,
                submittedAfter: try Self.moment(request.submittedAfter, field: "submitted_after"),
                submittedBefore: try Self.moment(request.submittedBefore, field: "submitted_before"),
                limit: request.pageSize == 0 ? 100 : Int(request.pageSize), pageToken: request.pageToken))
        return Wire.ListJobsResponse(jobs: page.jobs.map { Wire.Job($0) }, nextPageToken: page.nextPageToken)
    }

    private static func moment(
        _ timestamp: Wire.Timestamp?, field: String
    ) throws(OrchestratorError) -> Orchestrator.Timestamp? {
        guard let timestamp else { return nil }
        guard let moment = Orchestrator.Timestamp(timestamp) else {
            throw .invalidArgument(field, "\(field): outside the years 1678 to 2261")
        }
        return moment
    }

    // MARK: Events

    private func stream(_ request: Wire.StreamEventsRequest) async throws -> any PullSource {
        guard request.jobIDs.count <= Self.mostJobIDs else {
            throw OrchestratorError.invalidArgument(
                "job_ids", "job_ids: \(request.jobIDs.count) of them; name at most \(Self.mostJobIDs), or none for all")
        }
        if request.fromNow, request.afterSequence != 0 {
            throw OrchestratorError.invalidArgument(
                "after_sequence", "after_sequence: \(request.afterSequence) with from_now; send one of the two")
        }
        if request.endWhenDone, request.jobIDs.isEmpty {
            throw OrchestratorError.invalidArgument("end_when_done", "end_when_done: needs job_ids; name the jobs")
        }
        let reader = try await ledger.makeReader(
            after: request.afterSequence,
            filter: EventFilter(jobIDs: Set(request.jobIDs), types: Set(request.types)),
            fromNow: request.fromNow, endWhenDone: request.endWhenDone)
        return EventSource(reader: reader, log: ledger.events, logger: logger)
    }

    private func publish(
        _ request: Wire.PublishEventRequest, by caller: String
    ) async throws -> Wire.PublishEventResponse {
        if let wait = quota.take(caller) {
            throw OrchestratorError(
                .resourceExhausted(retryAfter: wait),
                "\(caller) publishes more events than it may; gather several into one, or raise --publish-rate")
        }
        let publication = try await ledger.publish(
            AgentEvent(id: request.eventID, type: request.type, jobID: request.jobID, data: request.data))
        return Wire.PublishEventResponse(
            sequence: publication.event.sequence, time: .init(publication.event.time),
            alreadyExisted: publication.alreadyExisted)
    }

    // MARK: Output

    private func stream(_ request: Wire.StreamLogsRequest) async throws -> any PullSource {
        let stream: Orchestrator.LogStream? =
            switch request.stream {
            case .unspecified: nil
            case .stdout: .stdout
            case .stderr: .stderr
            default:
                throw OrchestratorError.invalidArgument(
                    "stream", "stream: \(request.stream.rawValue) is not a LogStream; send 0 for both, 1 or 2")
            }
        let cursor = try await logs.open(
            LogRequest(
                jobID: try Self.required(request.jobID), stream: stream, offset: request.offset,
                follows: request.follow, attempt: request.attempt))
        return LogSource(cursor: cursor, logger: logger)
    }

    // MARK: Metrics

    private func snapshot() -> Wire.GetMetricsResponse {
        let uptime = ContinuousClock.now - startedAt
        return Wire.GetMetricsResponse(
            metrics: metrics.registry.snapshot().flatMap(Self.samples),
            classes: metrics.classStats().map { stats in
                Wire.ClassStats(
                    jobClass: .init(rawValue: stats.jobClass.rawValue), submitted: stats.submitted,
                    succeeded: stats.succeeded, failed: stats.failed, cancelled: stats.cancelled,
                    errors: stats.errors.sorted { $0.key.rawValue < $1.key.rawValue }.map {
                        Wire.ReasonCount(reason: .init(rawValue: $0.key.rawValue), count: $0.value)
                    },
                    p50Seconds: stats.p50Seconds, p95Seconds: stats.p95Seconds, p99Seconds: stats.p99Seconds,
                    queueDepth: stats.queueDepth, inflight: stats.inflight, concurrencyLimit: stats.concurrencyLimit)
            },
            uptimeSeconds: uptime.inSeconds, version: version)
    }

    /// Histograms come as their sum and count: their quantiles are in the class's statistics.
    private static func samples(_ family: MetricFamily) -> [Wire.Metric] {
        family.samples.flatMap { sample -> [Wire.Metric] in
            let labels = Dictionary(sample.labels.map { ($0.name, $0.value) }, uniquingKeysWith: { $1 })
            switch sample.value {
            case .number(let value):
                return [
                    Wire.Metric(
                        name: family.name, labels: labels, type: family.kind == .counter ? .counter : .gauge,
                        value: value)
                ]
            case .histogram(let histogram):
                return [
                    Wire.Metric(name: "\(family.name)_sum", labels: labels, type: .counter, value: histogram.sum),
                    Wire.Metric(
                        name: "\(family.name)_count", labels: labels, type: .counter, value: Double(histogram.count)),
                ]
            }
        }
    }
}

extension Status {
    /// As `google.rpc.Status`, for a verdict inside a response.
    fileprivate func message(_ type: Wire.Status.Type) -> Wire.Status {
        if !details.isEmpty, let status = try? Wire.Status(decoding: details) { return status }
        return Wire.Status(code: Int32(code.rawValue), message: message)
    }
}
