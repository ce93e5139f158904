/// Puts a batch job back into Slurm's queue, for whoever asks from outside.
public struct JobRequeue: Sendable {
    private let ledger: Ledger
    private let slurm: SlurmBridge?

    /// - Parameter slurm: nil on a server without Slurm.
    public init(ledger: Ledger, slurm: SlurmBridge?) {
        self.ledger = ledger
        self.slurm = slurm
    }

    /// - Parameter reason: for people; at most 1024 bytes.
    /// - Returns: the job as it is now.
    /// - Throws: `notFound`; `failedPrecondition` when the job can't be put back, or Slurm refuses; `unavailable` when Slurm
    ///   can't be asked.
    public func callAsFunction(_ id: String, reason: String) async throws -> Job {
        guard reason.utf8.count <= 1_024 else {
            throw OrchestratorError.invalidArgument("reason", "reason: \(reason.utf8.count) bytes; send at most 1024")
        }
        let job = try await ledger.job(id)
        guard let slurm else {
            _ = try SlurmRequeue.verdict(job)
            throw OrchestratorError(
                .failedPrecondition,
                "job \(id.asJSON) can't be requeued: this server has no Slurm; start it with --slurm true"
            ).because(.slurmNotConfigured, job: id)
        }
        return try await slurm.requeue(job, reason: reason)
    }
}
