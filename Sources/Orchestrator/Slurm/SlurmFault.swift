import Glibc

/// The points of the two-phase submission, and of a requeue, at which a debug build can be told to die, by the environment
/// variable `ORCHESTRATOR_SLURM_FAULT`: what the tests of its recovery do. Nothing in a release build.
enum SlurmFault: String {
    case beforeIntent = "before-intent"
    case afterIntent = "after-intent"
    case beforeSbatch = "before-sbatch"
    case afterSbatch = "after-sbatch"
    case afterAccepted = "after-accepted"
    case beforeRequeue = "before-requeue"
    case afterRequeue = "after-requeue"

    func strike() {
        #if DEBUG
            if let wanted = getenv("ORCHESTRATOR_SLURM_FAULT"), String(cString: wanted) == rawValue {
                kill(getpid(), SIGKILL)
            }
        #endif
    }
}
