import Logging

extension Ledger {
    /// Where a ledger is and how much of it is kept in memory.
    public struct Configuration: Sendable {
        /// Holds `ledger.sqlite`; created with mode 0700 if missing.
        public var directory: String
        /// Events kept in memory for streams, at most; older ones are read from the database.
        public var ringEvents = 65_536
        /// Bytes of encoded events kept in memory, at most: whichever limit comes first.
        public var ringBytes = 64 << 20
        /// Ended jobs kept in memory; older ones are read from the database.
        public var recentJobs = 10_000
        /// Bytes of ended jobs kept in memory, at most: whichever limit comes first.
        public var recentJobBytes = 32 << 20
        /// Memory of the one connection that writes for pages of the database. Bytes, of whole KiB; default 16 MiB.
        public var pageCacheBytes = 16 << 20
        /// Jobs not ended yet; further submissions are refused with `resourceExhausted`.
        public var maxOpenJobs = 1_000_000
        /// Of one job.
        public var maxPayloadBytes = 1 << 20
        /// Of one event that an agent publishes.
        public var maxEventBytes = 16 << 10
        /// Whether there is a Slurm bridge for jobs of class gpu_slurm; without one they are refused.
        public var acceptsSlurm = false
        /// Submissions waiting for the disk; further ones are refused with `resourceExhausted`.
        public var commandQueueLimit = 100_000

        /// How much history is kept. Default everything.
        public var retention = Retention.everything
        /// Removes the attempts' directories of these jobs, however many there are of each; called off the writer's
        /// thread, and again should the server die meanwhile. nil when there are none to remove.
        public var removeOutputs: RemoveOutputs?

        /// - Parameter metadata: of a log line about a job.
        public typealias RemoveOutputs =
            @Sendable (_ jobIDs: [String], _ metadata: (_ jobID: String) -> Logger.Metadata) -> Void

        /// Lets a test fill the disk: SQLite's max_page_count.
        var maxDatabasePages: Int?
        /// Between two looks at what is no longer to be kept, when nothing was left to do. A test that asks for its sweeps
        /// itself wants no other ones.
        var sweepInterval = Sweep.interval
        /// Events put back into memory at start.
        public var recoveredEvents = 4_096

        public init(directory: String) { self.directory = directory }
    }

    /// How the front end writes what the ledger keeps ready for it. The ledger never looks inside. Must be pure: the same
    /// value gives the same bytes.
    public struct Encoders: Sendable {
        /// One event as a stream sends it, framing included.
        public var event: @Sendable (Event) -> [UInt8]
        /// One job as a status call answers it.
        public var job: @Sendable (Job) -> [UInt8]

        public init(event: @escaping @Sendable (Event) -> [UInt8], job: @escaping @Sendable (Job) -> [UInt8]) {
            self.event = event
            self.job = job
        }
    }
}
