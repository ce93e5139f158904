import Logging

// Back into Slurm's queue, because somebody here wants it.
extension SlurmBridge {
    /// Has Slurm put a job that runs back into its queue. What follows comes from the queue, as after a preemption.
    ///
    /// - Returns: the job as it is now; Slurm may still be ending its processes.
    /// - Throws: `failedPrecondition` when it is not there to be put back, or Slurm refuses; `unavailable` when Slurm can't
    ///   be asked.
    func requeue(_ job: Job, reason: String) async throws(OrchestratorError) -> Job {
        guard try SlurmRequeue.verdict(job) == .ask else { return job }
        guard let track = tracks[job.id], !track.isEnding, !track.requeue.isUnderWay, !track.slurmJobID.isEmpty else {
            // It has just ended, or somebody else asks for the same.
            throw OrchestratorError(.unavailable, "job \(job.id.asJSON) is just changing; look at it again in a moment")
                .because(.jobChanging, job: job.id).retrying(after: .seconds(1))
        }
        tracks[job.id]?.requeue.asked()
        let answer = await client.requeue(id: track.slurmJobID)
        defer { hurry() }
        switch answer {
        case .refused(let words) where !words.contains(Self.waits):
            tracks[job.id]?.requeue.refused()
            throw OrchestratorError(
                .failedPrecondition, "Slurm does not requeue job \(job.id.asJSON) (\(track.slurmJobID)): \(words)"
            ).because(.slurmRefused, job: job.id)
        case .away(let words):
            tracks[job.id]?.requeue.refused()
            throw away(job, words)
        case .inDoubt(let words):
            // Should it have happened, the queue will show it, and a second requeue finds a job that waits.
            tracks[job.id]?.requeue.answered(givingUp: track.restarts, reason: reason, at: now())
            throw away(job, words)
        case .ok, .refused:
            tracks[job.id]?.requeue.answered(givingUp: track.restarts, reason: reason, at: now())
        }
        logger.info("a batch job was put back into Slurm's queue", metadata: metadata(track))
        return ledger.cachedJob(job.id) ?? job
    }

    /// Slurm's words on a job that is back in the queue already (ESLURM_JOB_PENDING).
    private static let waits = "Job is pending execution"

    private func away(_ job: Job, _ words: String) -> OrchestratorError {
        OrchestratorError(.unavailable, "Slurm can't be asked to requeue job \(job.id.asJSON) now: \(words); try again")
            .because(.slurmUnavailable, job: job.id).retrying(after: .seconds(5))
    }
}
