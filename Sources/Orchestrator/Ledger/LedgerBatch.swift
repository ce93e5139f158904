/// Commands applied but not yet durable: what one transaction will write. Nothing outside it changes, so a commit that
/// fails is undone by dropping it.
struct LedgerBatch {
    struct Change {
        /// As the last command of the batch left it.
        var row: JobRow
        /// Before the batch; nil for a new job.
        var oldState: JobState?
    }

    private(set) var changes: [Change] = []
    private(set) var events: [(event: Event, job: UInt64)] = []
    private(set) var lastSequence: UInt64
    private var positions: [String: Int] = [:]
    /// Jobs not ended, these changes included.
    private var openJobs: Int
    private let maxOpenJobs: Int
    private let now: Timestamp

    init(lastSequence: UInt64, openJobs: Int, maxOpenJobs: Int, now: Timestamp) {
        self.lastSequence = lastSequence
        self.openJobs = openJobs
        self.maxOpenJobs = maxOpenJobs
        self.now = now
    }

    var isEmpty: Bool { changes.isEmpty }

    /// - Parameter committed: the job as it stands before this batch.
    /// - Returns: the job after the command, and whether it was there before.
    mutating func apply(
        _ command: JobMachine.Command, id: String, jitter: Double,
        committed: (String) throws(OrchestratorError) -> JobRow?
    ) throws(OrchestratorError) -> (job: Job, existed: Bool) {
        let position = positions[id]
        let current: JobRow?
        if let position { current = changes[position].row } else { current = try committed(id) }

        if current == nil, case .submit = command, openJobs >= maxOpenJobs {
            throw OrchestratorError(
                .resourceExhausted(retryAfter: .seconds(5)),
                "\(openJobs) jobs are waiting or running, and at most \(maxOpenJobs) may; retry when some have ended"
            ).because(.tooManyOpenJobs, ["limit": "\(maxOpenJobs)"])
        }
        let transition = try JobMachine.apply(command, to: current?.job, id: id, now: now, jitter: jitter)
        guard transition.changed else { return (transition.job, current != nil) }

        var row = JobRow(number: current?.number ?? lastSequence + 1, job: transition.job)
        for var event in transition.events {
            lastSequence += 1
            event.sequence = lastSequence
            row.job.lastSequence = lastSequence
            events.append((event, row.number))
        }
        let wasOpen = current.map { !$0.job.state.isTerminal } ?? false
        openJobs += (row.job.state.isTerminal ? 0 : 1) - (wasOpen ? 1 : 0)
        if let position {
            changes[position].row = row
        } else {
            positions[id] = changes.count
            changes.append(Change(row: row, oldState: current?.job.state))
        }
        return (row.job, current != nil)
    }
}
