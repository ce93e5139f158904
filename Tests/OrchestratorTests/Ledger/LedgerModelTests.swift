import Testing

@testable import Orchestrator

/// Random operations on the real ledger, each compared with what `LedgerModel` says. A failure prints its seed and the
/// shortest list of operations found; `MODEL_SEED` and
/// `MODEL_RUNS` choose the seeds.
@Suite(.timeLimit(.minutes(5))) struct LedgerModelTests {
    @Test(arguments: SeededRandom.seeds) func `the ledger does what the model does`(seed: UInt64) async throws {
        var random = SeededRandom(seed: seed)
        let operations = LedgerOperation.random(200, using: &random)
        guard let first = await difference(operations) else { return }
        let shortest = await shrink(operations) { await difference($0) != nil }
        let last = await difference(shortest) ?? first
        Issue.record("seed \(seed): \(last)\n\(shortest.map(\.description).joined(separator: "\n"))")
    }

    /// nil when ledger and model agree after each operation.
    private func difference(_ operations: [LedgerOperation]) async -> String? {
        do {
            return try await Comparison().run(operations)
        } catch {
            return "\(error)"
        }
    }
}

private final class Comparison {
    private var directory = LedgerDirectory()
    private let clock = SetClock()
    /// As the ledger told it: nothing of it may change any more.
    private var log: [LedgerModel.Happening] = []
    private var model = LedgerModel(keptJobs: 4, keptEvents: 40)

    private func open() throws -> Ledger {
        try directory.open({ configuration in
            configuration.retention = Retention(jobs: .init(count: 4), events: .init(count: 40))
            configuration.recentJobs = 3
            configuration.ringEvents = 8
            configuration.recoveredEvents = 5
        }) { [clock] in clock.now }
    }

    func run(_ operations: [LedgerOperation]) async throws -> String? {
        var ledger = try open()
        for operation in operations {
            if case .reopen = operation {
                await ledger.close()
                ledger = try open()
            }
            if case .crash = operation {
                let left = try directory.copy()
                await ledger.close()
                directory = left
                ledger = try open()
            }
            let taken = try await apply(operation, to: ledger)
            let expected = model.apply(operation)
            await ledger.sweep()
            model.settle()
            let found = taken == expected ? try await difference(ledger) : "taken \(taken), expected \(expected)"
            if let found {
                await ledger.close()
                return "after \(operation): \(found)"
            }
        }
        var broken = try await history(ledger)
        for cursor in 0...model.lastSequence where broken == nil { broken = try await reading(after: cursor, ledger) }
        await ledger.close()
        return broken
    }

    private func spec(_ one: LedgerOperation.Submission) -> JobSpec {
        JobSpec(
            id: one.id, deadline: one.deadline.map { .seconds($0) },
            retry: RetryPolicy(
                maxAttempts: one.attempts, initialBackoff: .zero, retryOn: one.retryOn.map(\.rawValue)),
            dependsOn: one.parents)
    }

    private func apply(_ operation: LedgerOperation, to ledger: Ledger) async throws -> [Bool] {
        switch operation {
        case .submit(let one): return [try await isTaken { _ = try await ledger.submit(spec(one)) }]
        case .batch(let many): return await ledger.submit(many.map(spec)).map { (try? $0.get()) != nil }
        case .start(let id): return [try await isTaken { _ = try await ledger.start(id) }]
        case .finish(let id, let lag, let failure):
            let attempt = ledger.cachedJob(id)?.attempt ?? 0
            let outcome = AttemptOutcome(exitCode: failure == nil ? 0 : 1, failure: failure)
            return [
                try await isTaken {
                    _ = try await ledger.finish(id, attempt: attempt - min(attempt, lag), outcome)
                }
            ]
        case .release(let id):
            let attempt = ledger.cachedJob(id)?.attempt ?? 0
            return [try await isTaken { _ = try await ledger.release(id, attempt: attempt) }]
        case .cancel(let id): return [try await isTaken { _ = try await ledger.cancel(id, reason: "", source: "rpc") }]
        case .takenOver(let id): return [try await isTaken { _ = try await ledger.report(.takenOver, of: id) }]
        case .endedElsewhere(let id, let state):
            let outcome = AttemptOutcome(failure: state == .failed ? .exitCode : nil)
            let end = state.map { TaskEnd(state: $0, outcome: outcome, attempt: 7) }
            let report = end.map { TaskReport.ended($0) } ?? .vanished(.seconds(300))
            return [try await isTaken { _ = try await ledger.report(report, of: id) }]
        case .comesBack(let id):
            guard var spec = ledger.cachedJob(id)?.spec else { return [true] }
            spec.source = .fileQueue
            return [try await isTaken { _ = try await ledger.submit(spec) }]
        case .advance(let seconds):
            clock.advance(by: .seconds(seconds))
            return [true]
        case .publish(let id, let job, let data):
            let event = AgentEvent(id: id, type: "agent.step", jobID: job, data: Array("{\"n\":\(data)}".utf8))
            return [try await isTaken { _ = try await ledger.publish(event) }]
        case .reopen, .crash: return [true]
        }
    }

    private func isTaken(_ body: () async throws -> Void) async throws -> Bool {
        do {
            try await body()
            return true
        } catch let error as OrchestratorError {
            switch error.kind {
            case .notFound, .alreadyExists, .failedPrecondition, .invalidArgument: return false
            default: throw error
            }
        }
    }

    private func difference(_ ledger: Ledger) async throws -> String? {
        let last = Int(ledger.events.lastSequence)
        if last != model.lastSequence { return "last sequence \(last), expected \(model.lastSequence)" }
        let oldest = Int(ledger.events.oldestSequence)
        if oldest != model.oldestSequence { return "oldest sequence \(oldest), expected \(model.oldestSequence)" }
        if let difference = try await newsDifference(ledger) { return difference }
        let jobs = try await ledger.list(JobQuery(limit: 1_000)).jobs
        let expected = model.jobs.sorted { $0.value.number > $1.value.number }
        if jobs.map(\.id) != expected.map(\.key) { return "jobs \(jobs.map(\.id)), expected \(expected.map(\.key))" }
        for (id, entry) in expected {
            let job = try await ledger.job(id)
            let found = (
                job.state, job.attempt, job.openParents, job.isExpired, job.cancelReason != nil, job.claim
            )
            let wanted = (
                entry.state, entry.attempt, model.openParents(entry), entry.isExpired, entry.isCancelled,
                entry.claim
            )
            if found != wanted { return "\(id) is \(found), expected \(wanted)" }
            if job.failureReason != entry.reason {
                return
                    "\(id) failed for \(String(describing: job.failureReason)), expected \(String(describing: entry.reason))"
            }
        }
        let ended = expected.count { $0.value.state.isTerminal }
        return ledger.history.endedJobs == ended ? nil : "\(ledger.history.endedJobs) ended jobs, expected \(ended)"
    }

    /// The events of one operation, and of what follows from it: each job's in order.
    private func newsDifference(_ ledger: Ledger) async throws -> String? {
        let news = try await ledger.events.events(after: UInt64(log.count), limit: 1_000).map {
            LedgerModel.Happening(jobID: $0.jobID, type: $0.type.rawValue, attempt: $0.attempt, state: $0.state)
        }
        let expected = model.news
        model.news = []
        log += news
        return Dictionary(grouping: news, by: \.jobID) == Dictionary(grouping: expected, by: \.jobID)
            ? nil : "events \(news), expected \(expected)"
    }

    /// From each cursor the log is what was told when it happened, whole and filtered; from one that is too old there is
    /// the oldest kept.
    private func reading(after cursor: Int, _ ledger: Ledger) async throws -> String? {
        let id = LedgerOperation.names[cursor % LedgerOperation.names.count]
        let isGone = cursor > 0 && cursor + 1 < model.oldestSequence
        func isRefusal(_ error: any Error) -> Bool {
            isGone && (error as? OrchestratorError)?.kind == .outOfRange(oldest: UInt64(model.oldestSequence))
        }
        do {
            let found = try await ledger.events.events(after: UInt64(cursor), limit: 1_000).map { Int($0.sequence) }
            let expected = Array(max(cursor + 1, model.oldestSequence)..<(model.lastSequence + 1))
            if isGone || found != expected { return "values after \(cursor): \(found), expected \(expected)" }
        } catch  where isRefusal(error) {}
        for filter in [
            EventFilter.all, EventFilter(jobIDs: [id]), EventFilter(types: ["task_started", "task_failed"]),
        ] {
            var transcript = ReaderTranscript()
            do {
                let reader = try await ledger.makeReader(after: UInt64(cursor), filter: filter)
                _ = try await transcript.drain(reader, of: ledger.events)
            } catch  where isRefusal(error) {
                continue
            }
            let first = max(cursor, model.oldestSequence - 1)
            let expected = log.indices.dropFirst(first).filter { index in
                (filter.jobIDs.isEmpty || filter.jobIDs.contains(log[index].jobID))
                    && (filter.types.isEmpty || filter.types.contains(log[index].type))
            }
            let text = expected.map { "\($0 + 1):\(log[$0].type):\(log[$0].jobID);" }.joined()
            if isGone || transcript.text != text {
                return "after \(cursor) of \(filter): \(transcript.text), expected \(text)"
            }
        }
        return nil
    }

    /// What is kept of the events has no gap, and agrees with the jobs.
    private func history(_ ledger: Ledger) async throws -> String? {
        let events = try await ledger.events.events(after: UInt64(model.oldestSequence - 1), limit: 1_000)
        let sequences = events.map { Int($0.sequence) }
        if model.lastSequence > 0, sequences != Array(model.oldestSequence...model.lastSequence) {
            return "events \(sequences)"
        }
        for (id, _) in model.jobs {
            let job = try await ledger.job(id)
            guard let last = events.last(where: { $0.jobID == id && !$0.type.isAgents }) else { continue }
            if last.sequence != job.lastSequence || last.state != job.state {
                return
                    "\(id) is \(job.state) at \(job.lastSequence), its last event \(String(describing: last.state)) at \(last.sequence)"
            }
        }
        return nil
    }
}
