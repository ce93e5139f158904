import Testing

@testable import Orchestrator

/// Random operations on the real ledger, each compared with what `LedgerModel` says.
@Suite(.timeLimit(.minutes(5))) struct LedgerModelTests {
    @Test(arguments: SeededRandom.seeds) func `the ledger does what the model does`(seed: UInt64) async throws {
        var random = SeededRandom(seed: seed)
        let operations = LedgerOperation.random(160, using: &random)
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
    private let directory = LedgerDirectory()
    private let clock = SetClock()
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
        let broken = try await history(ledger)
        await ledger.close()
        return broken
    }

    private func spec(_ one: LedgerOperation.Submission) -> JobSpec {
        JobSpec(
            id: one.id, deadline: one.deadline.map { .seconds($0) },
            retry: RetryPolicy(maxAttempts: one.attempts, initialBackoff: .zero), dependsOn: one.parents)
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
        case .advance(let seconds):
            clock.advance(by: .seconds(seconds))
            return [true]
        case .reopen: return [true]
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
        let jobs = try await ledger.list(JobQuery(limit: 1_000)).jobs
        let expected = model.jobs.sorted { $0.value.number > $1.value.number }
        if jobs.map(\.id) != expected.map(\.key) { return "jobs \(jobs.map(\.id)), expected \(expected.map(\.key))" }
        for (id, entry) in expected {
            let job = try await ledger.job(id)
            let found = (job.state, job.attempt, job.openParents, job.isExpired)
            let wanted = (entry.state, entry.attempt, model.openParents(entry), entry.isExpired)
            if found != wanted { return "\(id) is \(found), expected \(wanted)" }
            if job.failureReason != entry.reason {
                return
                    "\(id) failed for \(String(describing: job.failureReason)), expected \(String(describing: entry.reason))"
            }
        }
        let ended = expected.count { $0.value.state.isTerminal }
        return ledger.history.endedJobs == ended ? nil : "\(ledger.history.endedJobs) ended jobs, expected \(ended)"
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
            guard let last = events.last(where: { $0.jobID == id }) else { continue }
            if last.sequence != job.lastSequence || last.state != job.state {
                return
                    "\(id) is \(job.state) at \(job.lastSequence), its last event \(String(describing: last.state)) at \(last.sequence)"
            }
        }
        return nil
    }
}
