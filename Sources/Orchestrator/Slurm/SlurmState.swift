/// Every state that Slurm shows for a job (squeue(1) "JOB STATE CODES", sacct(1), `enum job_states` and the flags of
/// slurm.h), by its long word. A word that is not here keeps the job as it is.
public enum SlurmState: String, Sendable, Hashable, CaseIterable {
    case pending = "PENDING"
    case running = "RUNNING"
    case suspended = "SUSPENDED"
    case completed = "COMPLETED"
    case cancelled = "CANCELLED"
    case failed = "FAILED"
    case timeout = "TIMEOUT"
    case nodeFail = "NODE_FAIL"
    case preempted = "PREEMPTED"
    case bootFail = "BOOT_FAIL"
    case deadline = "DEADLINE"
    case outOfMemory = "OUT_OF_MEMORY"
    case configuring = "CONFIGURING"
    case completing = "COMPLETING"
    case expediting = "EXPEDITING"
    case launchFailed = "LAUNCH_FAILED"
    case powerUpNode = "POWER_UP_NODE"
    case reconfigFail = "RECONFIG_FAIL"
    case requeued = "REQUEUED"
    case requeueFed = "REQUEUE_FED"
    case requeueHold = "REQUEUE_HOLD"
    case reservationDeletedHold = "RESV_DEL_HOLD"
    case resizing = "RESIZING"
    case revoked = "REVOKED"
    case signaling = "SIGNALING"
    case specialExit = "SPECIAL_EXIT"
    case stageOut = "STAGE_OUT"
    case stopped = "STOPPED"
    case updateDatabase = "UPDATE_DB"

    /// What a state means for whoever waits for the job.
    public enum Phase: Sendable, Hashable {
        /// Not on a node: it waits, or waits again after a requeue.
        case waiting
        /// On its nodes, suspended ones among them.
        case running
        /// On its way from one of the others to the next; says nothing by itself.
        case between
        /// Over, unless Slurm puts it back into the queue.
        case over
    }

    public var phase: Phase {
        switch self {
        case .pending, .configuring, .expediting, .powerUpNode, .requeued, .requeueFed, .requeueHold,
            .reservationDeletedHold, .specialExit, .revoked:
            // REVOKED is a federated job that runs on a sibling cluster; this one's record goes on waiting for it.
            .waiting
        case .running, .suspended, .resizing, .signaling, .stopped: .running
        case .completing, .stageOut, .updateDatabase: .between
        case .completed, .cancelled, .failed, .timeout, .nodeFail, .preempted, .bootFail, .deadline, .outOfMemory,
            .launchFailed, .reconfigFail:
            .over
        }
    }

    /// Whether the state alone tells how the job ended; FAILED needs an exit code beside it.
    var isSelfExplaining: Bool { self != .failed }

    /// Whether Slurm may still put such a job back into its queue, a moment after it showed it as over.
    var mayBeRequeued: Bool { [.nodeFail, .preempted, .bootFail, .launchFailed, .reconfigFail].contains(self) }

    /// The compact codes of squeue's `%t`.
    private static let codes: [String: SlurmState] = [
        "PD": .pending, "R": .running, "S": .suspended, "CD": .completed, "CA": .cancelled, "F": .failed,
        "TO": .timeout, "NF": .nodeFail, "PR": .preempted, "BF": .bootFail, "DL": .deadline, "OOM": .outOfMemory,
        "CF": .configuring, "CG": .completing, "EX": .expediting, "LF": .launchFailed, "PO": .powerUpNode,
        "RS": .resizing, "RQ": .requeued, "RH": .requeueHold, "RF": .requeueFed, "RD": .reservationDeletedHold,
        "RV": .revoked, "SI": .signaling, "SE": .specialExit, "SO": .stageOut, "ST": .stopped, "UD": .updateDatabase,
    ]

    /// Reads `RUNNING`, `R`, sacct's `CANCELLED by 0` and its `CANCELLED+` (cut off by a narrow column). nil for a word
    /// that no Slurm known here shows.
    public init?(word: some StringProtocol) {
        let first = word.prefix { $0 != " " && $0 != "+" }
        guard let state = SlurmState(rawValue: String(first)) ?? Self.codes[String(first)] else { return nil }
        self = state
    }
}
