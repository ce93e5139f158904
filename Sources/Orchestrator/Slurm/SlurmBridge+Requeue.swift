import Glibc
import Logging

// Back into Slurm's queue, because somebody here wants it.
extension SlurmBridge {
    /// Has Slurm put a job that runs back into its queue. What follows comes from the queue, as after a preemption.
    ///
    /// - Returns: the job as it is now; Slurm may still be ending its processes.
    /// - Throws: `failedPrecondition` when it is not there to be put back, or Slurm refuses; `unavailable` when Slurm can't
    ///   be asked; what the ledger throws when the intent can't be written down.
    func requeue(_ job: Job, reason: String) async throws -> Job {
        guard try SlurmRequeue.verdict(job) == .ask else { return job }
        guard let track = tracks[job.id], !track.isEnding, !track.requeue.isUnderWay, !track.slurmJobID.isEmpty,
            !isInheritedRequeueUnderWay(track)
        else {
            // It has just ended, or somebody else asks for the same.
            throw OrchestratorError(.unavailable, "job \(job.id.asJSON) is just changing; look at it again in a moment")
                .because(.jobChanging, job: job.id).retrying(after: .seconds(1))
        }
        tracks[job.id]?.requeue.asked()
        defer { hurry() }
        let intent = SlurmFacts.Requeue(run: track.restarts, reason: reason)
        do {
            _ = try await ledger.slurm(track.jobID, attempt: track.attempt, .requeueIntended(intent))
        } catch {
            tracks[job.id]?.requeue.refused()
            throw error
        }
        SlurmFault.beforeRequeue.strike()
        let answer = await ask(track)
        SlurmFault.afterRequeue.strike()
        switch answer {
        case .refused(let words) where !words.contains(Self.waits):
            await dropRequeue(track)
            throw OrchestratorError(
                .failedPrecondition, "Slurm does not requeue job \(job.id.asJSON) (\(track.slurmJobID)): \(words)"
            ).because(.slurmRefused, job: job.id)
        case .away(let words):
            await dropRequeue(track)
            throw away(job, words)
        case .inDoubt(let words):
            // Should it have happened, the queue will show it, and a second requeue finds a job that waits.
            tracks[job.id]?.requeue.answered(intent, at: now(), settle: configuration.adoptionGrace)
            throw away(job, words)
        case .ok, .refused:
            tracks[job.id]?.requeue.answered(intent, at: now())
        }
        logger.info("a batch job was put back into Slurm's queue", metadata: metadata(track))
        return ledger.cachedJob(job.id) ?? job
    }

    private func ask(_ track: SlurmTrack) async -> SlurmAnswer<Void> {
        let files = self.files
        let made = await collecting.run {
            Result { () throws(SystemError) in try files.lock(.requeue, track.directory) }
        }
        switch made {
        case .success(let lock):
            defer { close(lock) }
            return await client.requeue(id: track.slurmJobID, lock: lock)
        case .failure(let error): return .away("the file of its lock can't be made: \(error)")
        }
    }

    private func dropRequeue(_ track: SlurmTrack) async {
        _ = await tell(track, .requeueRefused)
        tracks[track.jobID]?.requeue.refused()
    }

    /// Whether the scontrol of a server that is gone still lives.
    func isInheritedRequeueUnderWay(_ track: SlurmTrack) -> Bool {
        guard track.requeue.isInherited else { return false }
        return if case .underWay = files.progress(of: .requeue, track.directory) { true } else { false }
    }

    /// Slurm's words on a job that is back in the queue already (ESLURM_JOB_PENDING).
    private static let waits = "Job is pending execution"

    private func away(_ job: Job, _ words: String) -> OrchestratorError {
        OrchestratorError(.unavailable, "Slurm can't be asked to requeue job \(job.id.asJSON) now: \(words); try again")
            .because(.slurmUnavailable, job: job.id).retrying(after: .seconds(5))
    }
}
