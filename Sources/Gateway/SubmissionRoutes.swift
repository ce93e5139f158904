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
        let body = try await boundedBody(request)
        let reason =
            body.isEmpty
            ? nil
            : try RequestObject(try JSONNode(requestBody: body), in: body, fields: Self.cancelFields).string("reason")
        let job = try await dependencies.cancel(id(context), reason ?? "")
        return .json { $0.job(job) }
    }

    private static let cancelFields = RequestObject.Fields("reason")

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
