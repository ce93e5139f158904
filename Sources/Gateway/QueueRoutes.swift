import HTTPTypes
import Hummingbird
import Orchestrator

extension GatewayRoutes {
    /// `POST /queue/submit`: the file queue's task as a request. Answered once the job is durable.
    @Sendable func submit(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let body = try await submissionBody(request)
        let submission = try await dependencies.submit(try JobSpec(queueTask: body, source: .http))
        let batchJob = try await submitted(submission.job)
        return .json { json in
            json.object { json in
                json.key("ok")
                json.bool(true)
                json.key("id")
                json.string(submission.job.id)
                if let batchJob {
                    json.key("slurm_job_id")
                    if batchJob.slurmJobID.isEmpty { json.null() } else { json.string(batchJob.slurmJobID) }
                    json.key("status")
                    // Of the submission: the job may already run, or be over.
                    json.string(batchJob.slurmJobID.isEmpty ? batchJob.state.word : JobState.submitted.word)
                    if !batchJob.error.isEmpty {
                        json.key("error")
                        json.string(batchJob.error)
                    }
                }
            }
        }
    }

    /// `GET /queue/status`
    @Sendable func queueStatus(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let counts = try await dependencies.queueCounts()
        return .json { json in
            json.object { json in
                for (name, count) in [
                    ("pending", counts.pending), ("running", counts.running), ("done", counts.done),
                    ("failed", counts.failed), ("submitted", counts.submitted), ("processed", counts.processed),
                    ("completed", counts.completed),
                ] {
                    json.key(name)
                    json.integer(count)
                }
            }
        }
    }
}
