import Orchestrator

/// The body of `POST /v1/jobs`: one job, or `{"jobs": [...]}`.
enum SubmissionRequest {
    case one(JobSpec)
    /// Each as it could be read.
    case many([Result<JobSpec, OrchestratorError>])

    private static let batchFields = RequestObject.Fields("jobs")

    init(_ body: [UInt8]) throws(OrchestratorError) {
        let document = try JSONNode(requestBody: body)
        guard let jobs = document["jobs"] else {
            self = .one(try JobSpec(document, in: body))
            return
        }
        _ = try RequestObject(document, in: body, fields: Self.batchFields)
        guard case .array(let nodes) = jobs.value else {
            throw .invalidArgument("jobs", "jobs must be an array of jobs, not \(jobs.value.kind)")
        }
        guard nodes.count <= Ledger.largestBatch else {
            throw .invalidArgument("jobs", "jobs: \(nodes.count) in one call; send at most \(Ledger.largestBatch)")
        }
        self = .many(
            nodes.enumerated().map { index, node in
                Result { () throws(OrchestratorError) in try JobSpec(node, in: body, at: "jobs[\(index)]") }
            })
    }
}

/// A job as the RPC contract's message SubmitJobRequest has it, but with the payload as the JSON that it is, as
/// `GET /v1/jobs/{id}` tells it.
extension JobSpec {
    private static let fields = RequestObject.Fields(
        "job_id", "job_class", "payload", "priority", "labels", "timeout", "retry", "depends_on", "resources",
        "deadline")

    init(_ node: JSONNode, in text: [UInt8], at place: String = "") throws(OrchestratorError) {
        let request = try RequestObject(node, in: text, at: place, fields: Self.fields)
        self.init(
            id: try request.string("job_id") ?? "",
            jobClass: try request.choice("job_class", prefix: "JOB_CLASS_", word: \.word) ?? .cpuShort,
            priority: try request.integer("priority") ?? 0, labels: try request.strings(byKeyOf: "labels"),
            timeout: try Self.limit(request.duration("timeout")),
            deadline: try Self.limit(request.duration("deadline")),
            dependsOn: try request.strings("depends_on"), source: .http)
        if let payload = try request.rawObject("payload") { self.payload = payload }
        if let retry = try request.object("retry", RetryPolicy.fields) { self.retry = try RetryPolicy(retry) }
        if let resources = try request.object("resources", Resources.fields) {
            self.resources = try Resources(resources)
        }
    }

    /// Absent and 0 are the default: the class's timeout, no deadline.
    private static func limit(_ duration: Duration?) -> Duration? { duration == .zero ? nil : duration }
}

extension RetryPolicy {
    fileprivate static let fields = RequestObject.Fields("max_attempts", "initial_backoff", "max_backoff", "retry_on")

    fileprivate init(_ request: RequestObject) throws(OrchestratorError) {
        let reasons: [FailureReason] = try request.choices("retry_on", prefix: "FAILURE_REASON_", word: \.word)
        self.init(
            maxAttempts: try request.integer("max_attempts") ?? 0,
            initialBackoff: try request.duration("initial_backoff"), maxBackoff: try request.duration("max_backoff"),
            retryOn: reasons.map(\.rawValue))
    }
}

extension Resources {
    fileprivate static let fields = RequestObject.Fields("cpus", "memory_bytes", "gpus", "processes")

    fileprivate init(_ request: RequestObject) throws(OrchestratorError) {
        self.init(
            cpus: try request.number("cpus") ?? 0, memoryBytes: try request.integer("memory_bytes") ?? 0,
            gpus: try request.integer("gpus") ?? 0, processes: try request.integer("processes") ?? 0)
    }
}
