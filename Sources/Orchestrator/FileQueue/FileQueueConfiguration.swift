/// The file queue's directory and its pace.
public struct FileQueueConfiguration: Sendable {
    /// Holds `pending/`, `claimed/`, `done/` and `failed/`, which are created when absent.
    public var directory: String
    /// Between two looks at `pending/` when nothing announced a change. Default 5 seconds.
    public var rescanInterval: Duration
    /// For how long a file that is not a task must not have changed before it is refused: until then somebody may still
    /// be writing it. Default 2 seconds.
    public var settleTime: Duration
    /// The largest task file, in bytes. Default 1 MiB of payload and 64 KiB around it.
    public var maxFileBytes: Int
    /// A file of this server's alone, in its data directory: the names it claims under, so that after a restart it knows
    /// its claims.
    public var ownerFile: String
    /// For how long this server may show no sign of life before another takes over what it has claimed. Whole seconds.
    /// Default 30 seconds.
    public var lease: Duration
    /// A job whose task another server has taken over is LOST after the task was nowhere in the directory for so long,
    /// without a break. Default five minutes.
    public var lostAfter: Duration
    /// Whose tasks are claimed; others are left in `pending/` for those who run them. Default all.
    public var classes = Set(JobClass.allCases)
    /// Whether never more is claimed than can be started soon. Otherwise that is so while others claim here too. Default
    /// false.
    public var claimsOnlyRoom = false
    /// Whether a clean stop gives what is still claimed to others at once, rather than after the lease. Default false.
    public var lendsWhenStopped = false

    public init(
        directory: String, ownerFile: String, rescanInterval: Duration = .seconds(5),
        settleTime: Duration = .seconds(2),
        maxFileBytes: Int = (1 << 20) + (64 << 10), lease: Duration = .seconds(30),
        lostAfter: Duration = .seconds(300)
    ) {
        self.directory = directory
        self.rescanInterval = rescanInterval
        self.settleTime = settleTime
        self.maxFileBytes = maxFileBytes
        self.ownerFile = ownerFile
        self.lease = lease
        self.lostAfter = lostAfter
    }
}
