import Dispatch
import Glibc
import Logging
import Synchronization

// To Slurm: the intent, sbatch, and what it left in doubt.
extension SlurmBridge {
    /// Of every batch job of this ledger.
    var namePrefix: String { "dspy-\(ledger.slurmIdentity)-" }

    func submit(_ entry: ClassQueue.Entry) async {
        let track = await intend(entry)
        intending -= 1
        guard let track else { return }
        follow(track)
        await send(track.jobID)
    }

    /// Writes down that the job is about to be submitted. nil when it is not to be, or not now.
    private func intend(_ entry: ClassQueue.Entry) async -> SlurmTrack? {
        guard let job = ledger.cachedJob(entry.id), job.waitsForItsTurn, job.slurm?.isOpen != true else { return nil }
        SlurmFault.beforeIntent.strike()
        let nonce = String(UInt64.random(in: .min ... .max), radix: 16)
        let intended: Job
        do {
            intended = try await ledger.slurm(
                entry.id, attempt: job.attempt + 1, .intended(name: namePrefix + nonce))
        } catch {
            // Cancelled in between, or nothing can be written now.
            if ledger.cachedJob(entry.id)?.waitsForItsTurn == true {
                logger.warning(
                    "a job could not be submitted and will be again: \(error)", metadata: .job(job))
                waitLonger(entry)
            }
            return nil
        }
        SlurmFault.afterIntent.strike()
        return intended.slurm.flatMap { makeTrack(intended, $0) }
    }

    /// Runs sbatch for an intent that the ledger has.
    func send(_ id: String) async {
        guard var track = tracks[id], !track.isSubmitting, let job = ledger.cachedJob(id) else { return }
        track.isSubmitting = true
        tracks[id] = track
        defer { tracks[id]?.isSubmitting = false }
        if job.isToStop {
            await conclude(track, AttemptOutcome(failure: .signal, error: "cancelled before it was submitted"))
            return
        }
        let work: SlurmWork
        do {
            work = try SlurmWork(job.spec, templates: templates)
        } catch {
            // It was accepted, so a template has changed since.
            await conclude(track, AttemptOutcome(failure: .submitRejected, error: error.message))
            return
        }
        switch await sbatch(job, work, track) {
        case .ok(let slurmJobID): await accepted(track, slurmJobID)
        case .refused(let words):
            await conclude(
                track, AttemptOutcome(failure: .submitRejected, error: "Slurm refused the job: \(words)"))
        case .away(let words): doubt(track, settle: .zero, words)
        case .inDoubt(let words): doubt(track, settle: configuration.adoptionGrace, words)
        }
    }

    private func sbatch(_ job: Job, _ work: SlurmWork, _ track: SlurmTrack) async -> SlurmAnswer<String> {
        let files = self.files
        let directory = track.directory
        let made = await collecting.run {
            Result { () throws(SystemError) in
                (try files.prepare(job, work, in: directory), try files.lock(.sbatch, directory))
            }
        }
        guard case .success(let (prepared, lock)) = made else {
            if case .failure(let error) = made { return .away("the files of a batch job can't be written: \(error)") }
            return .away("the files of a batch job can't be written")
        }
        defer { close(lock) }
        var options = work.options
        if let partition = configuration.defaultPartition { options.setDefault("partition", partition) }
        let arguments =
            [
                "--job-name=\(track.name)", "--comment=dspy-orchestrator \(job.id) attempt \(job.attempt)",
                "--output=\(directory.standardOutput)", "--error=\(directory.standardError)", "--open-mode=append",
                "--chdir=\(directory.path)", "--export=ALL",
            ] + options.arguments
        SlurmFault.beforeSbatch.strike()
        let answer = await client.submit(
            script: prepared.script, arguments: arguments,
            variables: BatchScript.variables(
                directory: directory, work: prepared.workingDirectory, bells: files.bells, name: track.name,
                outputCap: configuration.outputCap),
            lock: lock)
        SlurmFault.afterSbatch.strike()
        return answer
    }

    func accepted(_ track: SlurmTrack, _ slurmJobID: String) async {
        guard let job = await tell(track, .accepted(slurmJobID: slurmJobID)) else { return }
        SlurmFault.afterAccepted.strike()
        metrics.submitted.increment()
        tracks[track.jobID]?.slurmJobID = slurmJobID
        tracks[track.jobID]?.doubt = nil
        if tracks[track.jobID]?.word.isEmpty == true { tracks[track.jobID]?.word = SlurmState.pending.rawValue }
        if job.isToStop { wantCancel(track.jobID) }
    }

    private func doubt(_ track: SlurmTrack, settle: Duration, _ words: String) {
        guard tracks[track.jobID] != nil else { return }
        var doubt = tracks[track.jobID]?.doubt ?? SlurmTrack.Doubt(since: now(), settle: settle)
        doubt.since = now()
        doubt.settle = settle
        doubt.failures += 1
        tracks[track.jobID]?.doubt = doubt
        logger.warning("a submission's outcome is open: \(words)", metadata: metadata(track))
        outage.withLock { $0 = words }
        hurry()
    }

    /// Settles doubts by what Slurm shows.
    ///
    /// - Parameter rows: the whole queue, by name.
    func settleDoubts(_ rows: [String: QueueRow]) async {
        for track in tracks.values {
            guard let doubt = track.doubt, !track.isSubmitting, !track.isEnding else { continue }
            if let row = rows[track.name] {
                await adopt(track, row.id)
                continue
            }
            guard now() >= doubt.retryAt else { continue }
            if case .underWay = files.progress(of: .sbatch, track.directory) { continue }
            if doubt.settle > .zero || Timestamp.now() > track.intendedAt.advanced(by: .seconds(60)) {
                // It may have come, run and gone while nobody looked.
                switch await client.accounting(name: track.name, since: track.intendedAt) {
                case .rows(let found):
                    if let row = found.first(where: { $0.name == track.name }) {
                        await adopt(track, row.id)
                        continue
                    }
                case .unavailable: continue
                case .none: break
                }
                if let marker = files.startMarker(track.directory) {
                    await adopt(track, marker.slurmJobID)
                    continue
                }
            }
            work { bridge in await bridge.send(track.jobID) }
        }
    }

    private func adopt(_ track: SlurmTrack, _ slurmJobID: String) async {
        metrics.adopted.increment()
        var found = track
        found.slurmJobID = slurmJobID
        logger.notice(
            "found a submission of unknown outcome in Slurm",
            metadata: metadata(found))
        await accepted(track, slurmJobID)
    }

    /// An attempt that ended without ever being a batch job.
    private func conclude(_ track: SlurmTrack, _ outcome: AttemptOutcome) async {
        tracks[track.jobID]?.isEnding = true
        await tellEnd(track, outcome, SlurmEnding())
        if outcome.failure == .submitRejected { metrics.failed.increment() }
    }
}
