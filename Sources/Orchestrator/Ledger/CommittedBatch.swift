/// What one transaction made durable, for those that follow the ledger.
public struct CommittedBatch: Sendable {
    public struct Change: Sendable {
        /// As it is after the batch.
        public var job: Job
        /// Before the batch; nil when it was submitted in it.
        public var oldState: JobState?
    }

    /// In sequence order.
    public var events: [Event]
    /// For each event the index in `changes` of the job that it is about; -1 for one that changed no job.
    private let changeOfEvent: [Int]
    /// One for each job that differs from before, in the order in which the batch touched them. A job whose state is
    /// the old one and that has a `cancelReason` was asked to end.
    public var changes: [Change]
    /// Written to the database: jobs, events and cursors.
    public var rows: Int
    /// From the begin of the transaction to its fsync.
    public var commitSeconds: Double
    /// Queued jobs that wait for nothing but their turn from now on: the last of those that they depend on has succeeded
    /// (nothing of theirs was written), or their task came back from another server.
    public var released: [Job]

    init(
        events: [Event], changeOfEvent: [Int], changes: [Change], rows: Int, commitSeconds: Double,
        released: [Job] = []
    ) {
        self.events = events
        self.changeOfEvent = changeOfEvent
        self.changes = changes
        self.rows = rows
        self.commitSeconds = commitSeconds
        self.released = released
    }

    /// Each event, with the job that it changed as that is after the batch.
    func forEachEvent(_ body: (Event, Change?) -> Void) {
        for (index, event) in events.enumerated() {
            let change = changeOfEvent[index]
            body(event, change < 0 ? nil : changes[change])
        }
    }
}

/// The answer to a submission.
public struct Submission: Sendable, Equatable {
    public var job: Job
    /// The id was there with the same content; `job` is that one as it is now.
    public var alreadyExisted: Bool

    public init(job: Job, alreadyExisted: Bool) {
        self.job = job
        self.alreadyExisted = alreadyExisted
    }
}

/// Jobs of one class that have not ended.
public struct OpenCount: Sendable, Equatable {
    public var queued: Int
    public var running: Int

    public init(queued: Int = 0, running: Int = 0) {
        self.queued = queued
        self.running = running
    }
}
