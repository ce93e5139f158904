/// What is known of one batch job from all sides, and the rule that decides what it means. Pure: time is a parameter.
///
/// The job's own marker says how its command ended and says it first; the queue says what Slurm does with it; accounting
/// says how it ended once it has left the queue. A side that can't be asked says nothing, and nothing follows from that.
struct SlurmReconciler: Sendable {
    /// How one side answered.
    enum Look<Row: Sendable & Equatable>: Sendable, Equatable {
        case notAsked
        /// It was asked and did not answer.
        case unavailable
        /// There is no such side here.
        case none
        case absent
        case found(Row)

        var row: Row? { if case .found(let row) = self { row } else { nil } }
    }

    struct Sight: Sendable, Equatable {
        var queue: Look<QueueRow> = .notAsked
        /// Of sacct, or of scontrol where there is no accounting.
        var accounting: Look<AccountingRow> = .notAsked
        /// Of the newest run.
        var marker: EndMarker?
    }

    /// Since when the job is in a state that only time settles.
    struct Clocks: Sendable, Equatable {
        /// Not seen anywhere since.
        var missingSince: Timestamp?
        /// Seen as over, but not yet told how.
        var overSince: Timestamp?
    }

    enum Decision: Sendable, Equatable {
        /// Nothing new. `isHot`: it will change soon, so look again soon.
        case stay(isHot: Bool)
        case waiting(SlurmState)
        case running(QueueRow)
        /// Accounting must be asked before anything can be said.
        case ask
        case ended(SlurmEvidence)
        case lost(since: Timestamp)
        case unknownState(String)
    }

    /// Continuous absence everywhere before a job is given up.
    var lostAfter: Duration = .seconds(300)
    /// For the marker, or the final exit code, of a job that Slurm shows as over.
    var settle: Duration = .seconds(10)
    /// For a job that Slurm may put back into its queue.
    var requeueGrace: Duration = .seconds(2)

    func decide(_ sight: Sight, clocks: inout Clocks, now: Timestamp) -> Decision {
        if let marker = sight.marker, marker.isConclusive {
            return .ended(SlurmEvidence(state: sight.queue.row.flatMap { over($0.state) }, marker: marker))
        }
        switch sight.queue {
        case .notAsked, .unavailable:
            // Absence that nobody observed does not count.
            clocks.missingSince = nil
            return .stay(isHot: false)
        case .found(let row): return decide(row, sight, &clocks, now)
        case .none, .absent: return left(sight, &clocks, now)
        }
    }

    private func decide(
        _ row: QueueRow, _ sight: Sight, _ clocks: inout Clocks, _ now: Timestamp
    ) -> Decision {
        clocks.missingSince = nil
        guard let state = SlurmState(word: row.state) else { return .unknownState(row.state) }
        switch state.phase {
        case .waiting:
            clocks.overSince = nil
            return .waiting(state)
        case .running:
            clocks.overSince = nil
            return .running(row)
        case .between: return .stay(isHot: true)
        case .over: break
        }
        let since = clocks.overSince ?? now
        clocks.overSince = since
        let waited = since.duration(to: now)
        var evidence = SlurmEvidence(
            state: state, reason: row.reason, marker: sight.marker, nodes: row.nodes, startedAt: row.startedAt,
            endedAt: row.endedAt)
        if state.mayBeRequeued, waited < requeueGrace { return .stay(isHot: true) }
        if state.isSelfExplaining {
            // Its marker, with the exit code and perhaps a result behind it, is on its way.
            if state == .completed, sight.marker == nil, waited < settle { return .stay(isHot: true) }
            return .ended(evidence)
        }
        if sight.marker != nil { return .ended(evidence) }
        if let row = sight.accounting.row, over(row.state) != nil {
            evidence.add(row)
            if evidence.hasExit { return .ended(evidence) }
        }
        if waited >= settle { return .ended(evidence) }
        return sight.accounting == .notAsked ? .ask : .stay(isHot: true)
    }

    /// It is not in the queue.
    private func left(_ sight: Sight, _ clocks: inout Clocks, _ now: Timestamp) -> Decision {
        switch sight.accounting {
        case .notAsked: return .ask
        case .unavailable where sight.marker == nil:
            clocks.missingSince = nil
            return .stay(isHot: false)
        case .found(let row):
            if let state = over(row.state) {
                let since = clocks.overSince ?? now
                clocks.overSince = since
                var evidence = SlurmEvidence(state: state, marker: sight.marker)
                evidence.add(row)
                let isSettled = since.duration(to: now) >= settle
                if state == .completed, sight.marker == nil, !isSettled { return .stay(isHot: true) }
                // Accounting is sometimes a step behind itself: FAILED first, the exit code later.
                if state == .failed, !evidence.hasExit, !isSettled { return .stay(isHot: true) }
                return .ended(evidence)
            }
        case .unavailable, .none, .absent: break
        }
        let since = clocks.missingSince ?? now
        clocks.missingSince = since
        let missing = since.duration(to: now)
        // Terminated by somebody, and nobody left to say by whom: the marker is all there will be.
        if let marker = sight.marker, missing >= settle { return .ended(SlurmEvidence(state: nil, marker: marker)) }
        return missing >= lostAfter ? .lost(since: since) : .stay(isHot: sight.marker != nil)
    }

    private func over(_ word: String) -> SlurmState? {
        SlurmState(word: word).flatMap { $0.phase == .over ? $0 : nil }
    }
}

/// Everything that is known about how a batch job ended.
struct SlurmEvidence: Sendable, Equatable {
    /// nil when only the marker told.
    var state: SlurmState?
    var reason = ""
    var marker: EndMarker?
    /// Of accounting.
    var exitCode: Int32?
    var signal: Int32?
    var nodes = ""
    var startedAt: Timestamp?
    var endedAt: Timestamp?
    var cancelledBy: String?

    init(
        state: SlurmState?, reason: String = "", marker: EndMarker?, nodes: String = "", startedAt: Timestamp? = nil,
        endedAt: Timestamp? = nil
    ) {
        self.state = state
        self.reason = reason
        self.marker = marker
        self.nodes = nodes.isEmpty ? marker?.node ?? "" : nodes
        // The marker has nanoseconds where Slurm has seconds.
        self.startedAt = marker?.startedAt ?? startedAt
        self.endedAt = marker?.finishedAt ?? endedAt
    }

    mutating func add(_ row: AccountingRow) {
        exitCode = row.exitCode
        signal = row.signal
        if nodes.isEmpty { nodes = row.nodes }
        startedAt = startedAt ?? row.startedAt
        endedAt = endedAt ?? row.endedAt
        cancelledBy = row.cancelledBy
    }

    var hasExit: Bool { (exitCode ?? 0) != 0 || (signal ?? 0) != 0 }
}
