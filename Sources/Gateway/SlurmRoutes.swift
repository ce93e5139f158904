import HTTPTypes
import Hummingbird
import Orchestrator

extension GatewayRoutes {
    /// How long an answer waits for Slurm's own.
    private static let submissionWait = Duration.seconds(10)

    /// `GET /slurm/status/{id}`: a batch job, by the task's id or by Slurm's.
    @Sendable func slurmStatus(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let id = id(context)
        guard let slurm = dependencies.slurm else {
            throw OrchestratorError(
                .notFound, "no Slurm job of task \(id.debugDescription) is known: this server has no Slurm bridge")
        }
        var job: Job
        do {
            job = try await dependencies.job(id)
        } catch let error as OrchestratorError where error.kind == .notFound {
            job = try await slurm.job(id)
        }
        guard job.jobClass == .gpuSlurm else {
            throw OrchestratorError(
                .notFound,
                "job \(id.debugDescription) is of class \(job.jobClass.word) and has no Slurm job; see /v1/jobs")
        }
        return .json { $0.slurmStatus(job) }
    }

    /// For a job that goes to Slurm: as it is once Slurm has answered. nil for others.
    func submitted(_ job: Job) async throws -> Job? {
        guard job.jobClass == .gpuSlurm, let slurm = dependencies.slurm else { return nil }
        await slurm.submission(job.id, Self.submissionWait)
        return try await dependencies.job(job.id)
    }
}
