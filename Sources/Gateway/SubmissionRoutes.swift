import HTTPTypes
import Hummingbird
import Orchestrator

extension GatewayRoutes {
    /// `POST /v1/jobs`: a job, or many in one transaction with a verdict each. Answered once they are durable.
    @Sendable func submitJobs(_ request: Request, _ context: GatewayContext) async throws -> Response {
        switch try SubmissionRequest(try await submissionBody(request)) {
        case .one(let spec):
            let submission = try await dependencies.submit(spec)
            return .json { $0.submission(submission) }
        case .many(let jobs):
            let verdicts = await dependencies.submitMany(jobs)
            return .json { json in
                json.object { json in
                    json.key("results")
                    json.array { json in
                        for verdict in verdicts { json.verdict(verdict) }
                    }
                }
            }
        }
    }

    /// `POST /v1/jobs/{id}/cancel`: a running job may still be running in the answer, while its processes end.
    @Sendable func cancel(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let job = try await dependencies.cancel(id(context), try await reason(request))
        return .json { $0.job(job) }
    }

    /// `POST /v1/jobs/{id}/requeue`: the job may still be running in the answer, while Slurm ends its processes.
    @Sendable func requeue(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let job = try await dependencies.requeue(id(context), try await reason(request))
        return .json { $0.job(job) }
    }

    /// Of a body that is `{"reason": …}` or empty.
    private func reason(_ request: Request) async throws -> String {
        let body = try await boundedBody(request)
        if body.isEmpty { return "" }
        return try RequestObject(try JSONNode(requestBody: body), in: body, fields: Self.reasonFields)
            .string("reason") ?? ""
    }

    private static let reasonFields = RequestObject.Fields("reason")

    /// The body of a request that brings jobs.
    func submissionBody(_ request: Request) async throws -> [UInt8] {
        if !dependencies.takesJobs() {
            throw OrchestratorError(.unavailable, "the server is stopping and takes no jobs; send it again in a moment")
        }
        return try await boundedBody(request)
    }

    private func boundedBody(_ request: Request) async throws -> [UInt8] {
        try await request.boundedBody(maxBytes: configuration.maxBodyBytes, within: configuration.bodyTimeout)
    }
}

extension JSONWriter {
    /// Under the names of the RPC contract's message SubmitJobResponse.
    fileprivate mutating func submission(_ submission: Submission, withContent: Bool = true) {
        object { json in
            json.key("job")
            json.job(submission.job, withContent: withContent)
            json.key("already_existed")
            json.bool(submission.alreadyExisted)
        }
    }

    /// Without payload and result: those of a thousand jobs that were there already have no common limit. A refused job
    /// has the error and the status that it would have had alone.
    fileprivate mutating func verdict(_ verdict: Result<Submission, OrchestratorError>) {
        switch verdict {
        case .success(let submission): self.submission(submission, withContent: false)
        case .failure(let error):
            object { json in
                json.key("ok")
                json.bool(false)
                json.key("error")
                json.string(error.message)
                json.key("status")
                json.integer(error.status.code)
            }
        }
    }
}
