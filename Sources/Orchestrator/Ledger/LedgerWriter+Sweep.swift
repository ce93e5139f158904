import GRDB
import Synchronization

extension LedgerWriter {
    /// One slice of the retention, when one is due.
    func sweepASlice() {
        guard let due = nextSweep else { return answerSweepers(isOver: true) }
        guard removal.map(\.files.isDone) ?? (due <= .now || !sweepWaiters.isEmpty) else { return }
        let start = ContinuousClock.now
        var isOver = false
        do {
            if let (step, _) = removal {
                try drop(step)
                removal = nil
            } else if let step = try nextStep() {
                try take(step)
            } else {
                isOver = true
            }
            let rest = isOver ? sweepInterval : (.now - start) * Sweep.restFactor
            nextSweep = .now + rest
        } catch {
            note(failure(for: error))
            // The files of a removal are gone, and its rows will follow.
            nextSweep = .now + sweepInterval
            isOver = true
        }
        answerSweepers(isOver: isOver)
    }

    /// Those who asked for a sweep want what follows from the jobs' states done as well.
    private func answerSweepers(isOver: Bool) {
        if sweepWaiters.isEmpty { return }
        if isOver && !followUps.isDue(now: now()) {
            for waiter in sweepWaiters { waiter.resume() }
            sweepWaiters = []
        } else if removal == nil {
            queue.nudge()
        }
    }

    private func nextStep() throws -> Sweep.Step? {
        let situation = Sweep.Situation(
            now: now(), oldestSequence: events.oldestSequence, lastSequence: lastSequence, sinkFloor: cursors.floor,
            kept: kept, isAwaited: { [followUps] in followUps.isAwaited($0) })
        var sweep = sweep
        defer { self.sweep = sweep }
        return try database.writeWithoutTransaction { try sweep.next(situation, in: $0) }
    }

    private func take(_ step: Sweep.Step) throws {
        var ids: [String] = []
        switch step {
        case .jobs(let victims), .outputs(let victims): ids = victims.filter(\.hasRun).map(\.id)
        case .events, .pages: break
        }
        guard !ids.isEmpty, let removeOutputs else { return try drop(step) }
        let remove: @Sendable ([String]) -> Void = { [index] ids in removeOutputs(ids) { .job($0, in: index) } }
        removal = (step, OutputRemoval(of: ids, remove) { [queue] in queue.nudge() })
    }

    private func drop(_ step: Sweep.Step) throws {
        var newKept = kept
        switch step {
        case .events(let through):
            try database.writeWithoutTransaction { database in
                try database.inTransaction(.immediate) {
                    try database.execute(
                        sql: "DELETE FROM events WHERE sequence <= ?", arguments: [Int64(clamping: through)])
                    try database.execute(
                        sql: "DELETE FROM gone WHERE last_sequence <= ?", arguments: [Int64(clamping: through)])
                    return .commit
                }
            }
            events.trimmed(oldest: through + 1)
        case .outputs(let victims):
            newKept.dropOutputs(victims)
            if let last = victims.last { newKept.outputsThrough = last.mark }
            try database.writeWithoutTransaction { database in
                try database.inTransaction(.immediate) {
                    try newKept.write(replacing: kept, in: database, values: values)
                    return .commit
                }
            }
        case .jobs(let all):
            // One may have got a child since it was chosen.
            let victims = all.filter { !followUps.isAwaited($0.id) }
            newKept.dropOutputs(victims)
            newKept.size.endedJobs -= victims.count
            try database.writeWithoutTransaction { database in
                try database.inTransaction(.immediate) {
                    var gone = try RowWriter(
                        database,
                        sql: """
                            INSERT INTO gone SELECT job, job_id, max(sequence) FROM (\(EventRow.ofJobsSQL("?1")))
                            GROUP BY job
                            """)
                    var job = try RowWriter(database, sql: "DELETE FROM jobs WHERE number = ?")
                    var payload = try RowWriter(database, sql: "DELETE FROM large_payloads WHERE number = ?")
                    for victim in victims {
                        gone.bind(victim.mark.number)
                        try gone.run()
                        job.bind(victim.mark.number)
                        try job.run()
                        payload.bind(victim.mark.number)
                        try payload.run()
                    }
                    try newKept.write(replacing: kept, in: database, values: values)
                    return .commit
                }
            }
            index.drop(victims.map(\.id))
        case .pages:
            try database.writeWithoutTransaction { database in
                try database.inTransaction(.immediate) {
                    try database.execute(sql: "PRAGMA incremental_vacuum(\(Sweep.pageSlice))")
                    return .commit
                }
            }
        }
        kept = newKept
        observers.history.withLock { $0 = kept.size }
    }
}

extension KeptHistory {
    /// Those that were not gone before.
    fileprivate mutating func dropOutputs(_ victims: [Sweep.Victim]) {
        for victim in victims where victim.hasRun && victim.mark > outputsThrough {
            size.outputs -= 1
            size.outputBytes -= victim.outputBytes
        }
    }
}
