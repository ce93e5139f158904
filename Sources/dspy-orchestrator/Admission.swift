import Orchestrator
import RPCServer
import ServiceLifecycle
import Synchronization

/// Whether a job may come in: only while the server is not on its way out, and only with a payload that can be run.
final class Admission: Sendable {
    private enum Phase: UInt8, AtomicRepresentable {
        case open
        /// Takes jobs as before, while those who choose a server learn that this one is no choice.
        case ending
        case closed
    }

    private let phase = Atomic<Phase>(.open)
    private let slurm: SlurmBridge?
    private let validate: @Sendable (JobSpec) throws(OrchestratorError) -> Void

    /// - Parameters:
    ///   - slurm: takes what is for Slurm; without it the ledger refuses that.
    ///   - validate: throws when a job could not be run here.
    init(slurm: SlurmBridge?, validate: @escaping @Sendable (JobSpec) throws(OrchestratorError) -> Void) {
        self.slurm = slurm
        self.validate = validate
    }

    /// From the moment the server was asked to stop.
    var isEnding: Bool { phase.load(ordering: .relaxed) != .open }

    var isClosed: Bool { phase.load(ordering: .relaxed) == .closed }

    func end() { phase.store(.ending, ordering: .relaxed) }

    func close() { phase.store(.closed, ordering: .relaxed) }

    func admit(_ spec: JobSpec) throws(OrchestratorError) {
        guard !isClosed else {
            throw OrchestratorError(
                .unavailable, "the server is shutting down and takes no jobs; send the same job again to the next one"
            )
            .because(.serverStopping)
        }
        try check(spec)
    }

    /// Only the payload.
    func check(_ spec: JobSpec) throws(OrchestratorError) {
        if spec.jobClass.isLocal { try validate(spec) } else { try slurm?.validate(spec) }
    }
}

/// First to stop, so that nothing comes in while the rest winds up.
struct AdmissionService: Service {
    let admission: Admission
    let health: HealthRegistry
    let delay: Duration

    func run() async throws {
        try? await gracefulShutdown()
        health.drain()
        admission.end()
        await DrainDelay(delay).wait()
        admission.close()
    }
}
