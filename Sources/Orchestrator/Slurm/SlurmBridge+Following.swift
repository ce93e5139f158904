import Dispatch
import Logging
import Synchronization

// Back from Slurm: bells, the queue, accounting, and what follows from them.
extension SlurmBridge {
    // MARK: Bells

    /// Reads what wrappers rang for.
    func listen() {
        guard !tracks.isEmpty else { return }
        for bell in files.ringing() where bell.name.hasPrefix(namePrefix) {
            guard let id = names[bell.name], let track = tracks[id] else {
                // Of an attempt that is over. One on its way is known before it can ring.
                files.silence(bell)
                continue
            }
            // Until Slurm's answer is in, the job has no id to speak of.
            if track.isSubmitting || track.isEnding || track.requeue.isUnderWay { continue }
            files.silence(bell)
            work { bridge in await bridge.rang(track.jobID, isEnd: bell.isEnd) }
        }
    }

    private func rang(_ id: String, isEnd: Bool) async {
        guard let track = tracks[id], !track.isEnding, !track.requeue.isUnderWay else { return }
        let files = self.files
        let (start, end) = await collecting.run {
            (files.startMarker(track.directory), isEnd ? files.endMarker(track.directory) : nil)
        }
        if let start { await started(track, start) }
        guard let current = tracks[id], let end = end.map(current.requeue.judged), end.restarts >= current.restarts
        else { return }
        tracks[id]?.marker = end
        if end.isConclusive {
            await ended(current, SlurmEvidence(state: nil, marker: end))
        } else {
            hurry()
        }
    }

    private func started(_ track: SlurmTrack, _ marker: StartMarker) async {
        guard marker.restarts >= track.restarts else { return }
        // The job that really runs is the one to follow, should the attempt have come to Slurm twice.
        if track.slurmJobID != marker.slurmJobID { await accepted(track, marker.slurmJobID) }
        if marker.restarts > track.restarts { metrics.restarts.increment(by: UInt64(marker.restarts - track.restarts)) }
        let isNews = !track.isRunning || marker.restarts > track.restarts
        tracks[track.jobID]?.isRunning = true
        tracks[track.jobID]?.restarts = marker.restarts
        tracks[track.jobID]?.word = SlurmState.running.rawValue
        guard isNews else { return }
        _ = await tell(
            track, .started(nodes: marker.nodes, at: marker.startedAt, restarts: marker.restarts))
    }

    // MARK: The queue

    /// One look at everything.
    func poll() async -> PollPace.Look {
        let asked = now()
        let answer = await client.queueRows()
        guard case .ok(let rows) = answer else {
            let words = answer.outage ?? "squeue was refused"
            let before = outage.withLock { outage in
                defer { outage = words }
                return outage
            }
            if before == nil { logger.warning("Slurm can't be asked, so its jobs stay as they are: \(words)") }
            return .failed
        }
        if outage.withLock({ outage in
            defer { outage = nil }
            return outage
        }) != nil {
            logger.notice("Slurm answers")
        }
        metrics.reconciled(at: .now())
        let ours = rows.filter { $0.name.hasPrefix(namePrefix) }
        let byName = Dictionary(ours.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        let byID = Dictionary(ours.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        await settleDoubts(byName)
        await cancelAgain(byID)
        let look = await reconcile(byID, asked: asked)
        await measure()
        return look
    }

    /// - Parameter asked: when the question was put whose answer the rows are.
    private func reconcile(_ rows: [String: QueueRow], asked: Timestamp) async -> PollPace.Look {
        var sights: [String: SlurmReconciler.Sight] = [:]
        for track in tracks.values
        where !track.slurmJobID.isEmpty && !track.isEnding && !track.requeue.outdates(asked) {
            var sight = SlurmReconciler.Sight()
            if let row = rows[track.slurmJobID], row.name == track.name {
                sight.queue = .found(row)
            } else {
                sight.queue = .absent
            }
            guard track.requeue.isSettled(by: sight.queue.row, at: now()), !isInheritedRequeueUnderWay(track) else {
                continue
            }
            sights[track.jobID] = sight
        }
        await readMarkers(&sights)
        var decisions = decide(sights)
        let asked = decisions.filter { $0.value == .ask }.map(\.key)
        if !asked.isEmpty {
            await lookUp(asked, &sights)
            decisions.merge(decide(sights.filter { asked.contains($0.key) })) { _, new in new }
        }
        var isHot = tracks.values.contains { $0.isCancelling && !$0.slurmJobID.isEmpty }
        var hasChanged = false
        // Side by side, so that what one look found is one commit.
        await withTaskGroup(of: Bool.self) { group in
            for (id, decision) in decisions {
                if case .stay(let hot) = decision {
                    isHot = isHot || hot
                    continue
                }
                group.addTask { await self.apply(decision, to: id) }
            }
            for await changed in group where changed { hasChanged = true }
        }
        return .read(jobs: tracks.count + unmeasured.count, isHot: isHot, hasChanged: hasChanged)
    }

    /// For those that are not simply waiting or running: their bell may have been lost, or be on its way.
    private func readMarkers(_ sights: inout [String: SlurmReconciler.Sight]) async {
        let wanted = sights.filter { _, sight in
            guard let row = sight.queue.row, let state = SlurmState(word: row.state) else { return true }
            return state.phase == .over || state.phase == .between
        }.keys.compactMap { tracks[$0] }
        guard !wanted.isEmpty else { return }
        let files = self.files
        let markers = await collecting.run { wanted.map { ($0, files.endMarker($0.directory)) } }
        for (track, marker) in markers {
            guard let marker = marker.map(track.requeue.judged), marker.restarts >= track.restarts,
                marker.slurmJobID == track.slurmJobID
            else { continue }
            tracks[track.jobID]?.marker = marker
            sights[track.jobID]?.marker = marker
        }
    }

    private func decide(_ sights: [String: SlurmReconciler.Sight]) -> [String: SlurmReconciler.Decision] {
        var decisions: [String: SlurmReconciler.Decision] = [:]
        for (id, sight) in sights {
            guard var track = tracks[id], !track.isEnding, !track.requeue.isUnderWay else { continue }
            decisions[id] = reconciler.decide(sight, clocks: &track.clocks, now: now())
            tracks[id]?.clocks = track.clocks
        }
        return decisions
    }

    /// Accounting for all of them in one question; where there is none, the controller's own records.
    private func lookUp(_ ids: [String], _ sights: inout [String: SlurmReconciler.Sight]) async {
        let asked = ids.compactMap { tracks[$0] }
        var found: [String: AccountingRow] = [:]
        var silence = SlurmReconciler.Look<AccountingRow>.absent
        // Ids of twenty digits at most; an argument has at most 128 KiB.
        for start in stride(from: 0, to: asked.count, by: 5_000) {
            let part = asked[start..<min(start + 5_000, asked.count)]
            switch await client.accounting(ids: part.map(\.slurmJobID)) {
            case .rows(let rows):
                for row in rows { found[row.id] = row }
            case .unavailable: silence = .unavailable
            case .none: silence = .none
            }
        }
        if silence != .absent, case .ok(let rows) = await client.controlRows() {
            for row in rows { found[row.id] = row }
        }
        for track in asked {
            if let row = found[track.slurmJobID], row.name == track.name {
                sights[track.jobID]?.accounting = .found(row)
            } else {
                sights[track.jobID]?.accounting = silence
            }
        }
    }

    /// - Returns: whether something changed.
    private func apply(_ decision: SlurmReconciler.Decision, to id: String) async -> Bool {
        guard let track = tracks[id], !track.isEnding, !track.requeue.isUnderWay else { return false }
        switch decision {
        case .stay, .ask: return false
        case .unknownState(let word):
            metrics.unknownStates.increment()
            if unknownWords.count < 100, unknownWords.insert(word).inserted {
                logger.warning(
                    "Slurm shows a state that is unknown here, so the job stays as it was: \(word)",
                    metadata: metadata(track))
            }
            return false
        case .waiting(let state):
            guard track.word != state.rawValue || track.isRunning else { return false }
            tracks[id]?.word = state.rawValue
            tracks[id]?.marker = nil
            if track.isRunning {
                tracks[id]?.isRunning = false
                tracks[id]?.restarts += 1
                metrics.restarts.increment()
                tracks[id]?.requeue.reason = ""
                _ = await tell(
                    track,
                    .requeued(state: state.rawValue, restarts: track.restarts + 1, reason: track.requeue.reason))
            } else {
                _ = await tell(track, .observed(state: state.rawValue))
            }
            return true
        case .running(let row):
            let word = SlurmState(word: row.state)?.rawValue ?? row.state
            if !track.isRunning {
                tracks[id]?.isRunning = true
                tracks[id]?.word = word
                _ = await tell(track, .started(nodes: row.nodes, at: row.startedAt, restarts: track.restarts))
                return true
            }
            guard track.word != word else { return false }
            tracks[id]?.word = word
            _ = await tell(track, .observed(state: word))
            return true
        case .ended(let evidence):
            await ended(track, evidence)
            return true
        case .lost(let since):
            tracks[id]?.isEnding = true
            let error =
                "Slurm job \(track.slurmJobID) was in neither the queue nor accounting for "
                + "\(AttemptEnd.seconds(.seconds(since.duration(to: now()).components.seconds))), and has left no trace; "
                + "whether it ended is unknown"
            metrics.failed.increment()
            await tellEnd(track, AttemptOutcome(failure: .lost, error: error), SlurmEnding(endedAt: .now()))
            return true
        }
    }

    private func ended(_ track: SlurmTrack, _ evidence: SlurmEvidence) async {
        guard let current = tracks[track.jobID], !current.isEnding, !current.requeue.isUnderWay else { return }
        tracks[track.jobID]?.isEnding = true
        let files = self.files
        let (remains, hasBegun) = await collecting.run {
            (files.remains(track.directory), evidence.marker != nil || files.startMarker(track.directory) != nil)
        }
        let silence = "it left nothing in \(track.directory.path); is that disk full, or not mounted on its node?"
        let lastWords = remains.lastWords.isEmpty && !hasBegun ? silence : remains.lastWords
        let (outcome, ending) = SlurmOutcome.of(
            evidence, slurmJobID: track.slurmJobID, result: remains.result, lastWords: lastWords)
        if outcome.failure == nil { metrics.completed.increment() } else { metrics.failed.increment() }
        // Before the ledger makes this job forgotten, lest nothing be left to look for and the next look be far.
        measureLater(track)
        await tellEnd(track, outcome, ending)
    }

    // MARK: Cancelling

    /// Somebody here asked for the job's end.
    func wantCancel(_ id: String) {
        guard let track = tracks[id], !track.isEnding else { return }
        tracks[id]?.isCancelling = true
        // Without an id: `send` sees the reason before it submits, `accepted` after it.
        guard !track.slurmJobID.isEmpty, track.cancelSentAt == nil else { return }
        tracks[id]?.cancelSentAt = now()
        work { bridge in await bridge.cancel(track) }
    }

    private func cancel(_ track: SlurmTrack) async {
        let answer = await client.cancel(id: track.slurmJobID)
        if let words = answer.outage {
            logger.warning(
                "a cancel did not reach Slurm and will be sent again: \(words)", metadata: metadata(track))
            tracks[track.jobID]?.cancelSentAt = nil
        }
        hurry()
    }

    /// Those that Slurm did not get, or did not act on for half a minute.
    private func cancelAgain(_ rows: [String: QueueRow]) async {
        for track in tracks.values where track.isCancelling && !track.isEnding && !track.slurmJobID.isEmpty {
            if let sent = track.cancelSentAt, now() < sent.advanced(by: .seconds(30)) { continue }
            guard let row = rows[track.slurmJobID], SlurmState(word: row.state)?.phase != .over else { continue }
            tracks[track.jobID]?.cancelSentAt = now()
            await cancel(track)
        }
    }
}
