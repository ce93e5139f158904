/// One batch job as the bridge follows it. Everything in it can be found again after a crash: from the ledger, from
/// Slurm, and from the attempt's directory.
struct SlurmTrack: Sendable {
    /// A submission of which nobody knows yet whether Slurm has it.
    struct Doubt: Sendable {
        /// Since the last sbatch ended, or the server started.
        var since: Timestamp
        /// How long Slurm may take to show it.
        var settle: Duration
        /// Submissions that came to nothing, for the back-off.
        var failures = 0

        /// When it may be submitted once more: doubling from one second to one minute.
        var retryAt: Timestamp {
            let backoff = failures == 0 ? .zero : min(Duration.seconds(1) * (1 << min(failures - 1, 6)), .seconds(60))
            return since.advanced(by: max(settle, backoff))
        }
    }

    let jobID: String
    let attempt: UInt32
    let name: String
    let directory: AttemptDirectory
    let intendedAt: Timestamp
    /// Empty until known.
    var slurmJobID: String
    var isRunning: Bool
    var restarts: UInt32
    /// Slurm's newest word.
    var word: String
    var doubt: Doubt?
    var isSubmitting = false
    /// Its end is being told.
    var isEnding = false
    /// Somebody here asked for its end.
    var isCancelling: Bool
    var cancelSentAt: Timestamp?
    var marker: EndMarker?
    var requeue = SlurmRequeue()
    var clocks = SlurmReconciler.Clocks()

    init(job: Job, facts: SlurmFacts, directory: AttemptDirectory) {
        jobID = job.id
        attempt = job.attempt
        name = facts.name
        self.directory = directory
        intendedAt = Timestamp(nanoseconds: facts.intendedAt)
        slurmJobID = job.slurmJobID
        isRunning = job.state == .running
        restarts = facts.restarts
        word = facts.state
        isCancelling = job.isToStop
    }
}
