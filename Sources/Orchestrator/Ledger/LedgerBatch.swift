/// Commands applied but not yet durable: what one transaction will write. Nothing outside it changes, so a commit that
/// fails is undone by dropping it.
struct LedgerBatch {
    struct Change {
        /// As the last command of the batch left it.
        var row: JobRow
        /// Before the batch; nil for a new job.
        var oldState: JobState?
        /// Of a new job: those it depends on, with their states.
        var parents: [String: JobState] = [:]
        /// As it had ended before the batch: what a batch job used may be told later.
        var formerEnd: JobRow?
        /// Before the batch another server had its task.
        var wasElsewhere = false
    }

    private(set) var changes: [Change] = []
    private(set) var events: [Event] = []
    /// For each event the number of its job, 0 when it has none, and the index of the job's change, -1 when there is none.
    private(set) var places: [(job: UInt64, change: Int)] = []
    /// Events of agents that have an id, by it.
    private(set) var published: [String: Event] = [:]
    private(set) var lastSequence: UInt64
    private var positions: [JobKey: Int]
    /// Jobs not ended, these changes included.
    private var openJobs: Int
    private let maxOpenJobs: Int
    private let now: Timestamp

    init(lastSequence: UInt64, openJobs: Int, maxOpenJobs: Int, now: Timestamp, capacity: Int = 0) {
        positions = Dictionary(minimumCapacity: capacity)
        changes.reserveCapacity(capacity)
        events.reserveCapacity(capacity)
        places.reserveCapacity(capacity)
        self.lastSequence = lastSequence
        self.openJobs = openJobs
        self.maxOpenJobs = maxOpenJobs
        self.now = now
    }

    var isEmpty: Bool { changes.isEmpty && events.isEmpty }

    /// - Parameters:
    ///   - isNew: the id was made for this job, so that there is no other with it.
    ///   - committed: the job as it stands before this batch.
    /// - Returns: the job after the command, and whether it was there before.
    mutating func apply(
        _ command: JobMachine.Command, key: JobKey, isNew: Bool = false, jitter: Double,
        committed: (JobKey) throws(OrchestratorError) -> JobRow?
    ) throws(OrchestratorError) -> (job: Job, existed: Bool) {
        let position = isNew ? nil : positions[key]
        let current = isNew ? nil : try row(key, committed: committed)
        var parents: [String: JobState] = [:]
        if current == nil, case .submit(let spec) = command {
            guard openJobs < maxOpenJobs else {
                throw OrchestratorError(
                    .resourceExhausted(retryAfter: .seconds(5)),
                    "\(openJobs) jobs are waiting or running, and at most \(maxOpenJobs) may; retry when some have ended"
                ).because(.tooManyOpenJobs, ["limit": "\(maxOpenJobs)"])
            }
            for parent in spec.dependsOn {
                guard let row = try row(JobKey(parent), committed: committed) else { throw .unknownParent(parent) }
                parents[parent] = row.job.state
            }
        }
        let transition = try JobMachine.apply(command, to: current?.job, id: key.id, now: now, jitter: jitter)
        guard transition.changed else { return (transition.job, current != nil) }

        let news = transition.events
        // Consumed, so that the row has the job's content to itself and can change it in place.
        var row = JobRow(number: current?.number ?? lastSequence + 1, job: (consume transition).job)
        for var event in news {
            lastSequence += 1
            event.sequence = lastSequence
            row.job.lastSequence = lastSequence
            events.append(event)
            places.append((row.number, position ?? changes.count))
        }
        if current == nil { row.job.openParents = parents.count { $0.value != .succeeded } }
        let wasOpen = current.map { !$0.job.state.isTerminal } ?? false
        openJobs += (row.job.state.isTerminal ? 0 : 1) - (wasOpen ? 1 : 0)
        if let position {
            changes[position].row = row
        } else {
            // One whose id `Ledger.prepared` made can't be named by anybody before the answer to this batch.
            if !isNew { positions[key] = changes.count }
            let formerEnd = current.flatMap { $0.job.state.isTerminal ? $0 : nil }
            let wasElsewhere = current.map { $0.job.claim != .here } ?? false
            changes.append(
                Change(
                    row: row, oldState: current?.job.state, parents: parents, formerEnd: formerEnd,
                    wasElsewhere: wasElsewhere))
        }
        return (row.job, current != nil)
    }

    /// Queued jobs that another server had before the batch, and that wait for their turn here now.
    var returned: [Job] {
        changes.filter { $0.wasElsewhere && $0.row.job.waitsForItsTurn }.map(\.row.job)
    }

    /// Numbers an agent's event; the job that it is about stays as it is.
    mutating func publish(
        _ published: AgentEvent, committed: (JobKey) throws(OrchestratorError) -> JobRow?
    ) throws(OrchestratorError) -> Event {
        var row: JobRow?
        if !published.jobID.isEmpty {
            row = try self.row(JobKey(published.jobID), committed: committed)
            if row == nil { throw .noJob(published.jobID) }
        }
        lastSequence += 1
        let event = Event(
            sequence: lastSequence, type: EventType(rawValue: published.type), jobID: published.jobID, time: now,
            attempt: row?.job.attempt ?? 0, state: row?.job.state, data: published.data, source: "agent")
        events.append(event)
        // No job has the number 0.
        places.append((row?.number ?? 0, -1))
        if !published.id.isEmpty { self.published[published.id] = event }
        return event
    }

    private func row(
        _ key: JobKey, committed: (JobKey) throws(OrchestratorError) -> JobRow?
    ) throws(OrchestratorError) -> JobRow? {
        if let position = positions[key] { return changes[position].row }
        return try committed(key)
    }

    /// After the last command: what later commands of the batch did to the parents of its new jobs.
    mutating func settleParents() {
        for index in changes.indices where !changes[index].parents.isEmpty {
            for parent in changes[index].parents.keys {
                if let position = positions[JobKey(parent)] {
                    changes[index].parents[parent] = changes[position].row.job.state
                }
            }
            let isOpen = !changes[index].row.job.state.isTerminal
            changes[index].row.job.openParents =
                isOpen ? changes[index].parents.count { $0.value != .succeeded } : 0
        }
    }
}

extension OrchestratorError {
    static func unknownParent(_ id: String) -> OrchestratorError {
        .invalidArgument(
            "depends_on",
            "depends_on \(id.debugDescription): no such job is known here; submit it before, or in the same batch")
    }
}
