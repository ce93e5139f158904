import Dispatch
import Foundation
import GRDB
import GRDBSQLite
import Logging
import Synchronization

/// The ledger's one writer. On its own thread it takes everything that waits, applies it, commits it with one fsync, and
/// only then shows it: first in memory, then to the callers, the streams and the observers.
final class LedgerWriter {
    /// Jobs in one transaction, at most: bounds how long the first caller of a batch waits for the last.
    static let maxBatch = 4_096

    let database: DatabasePool
    let path: String
    let index: JobIndex
    let events: EventLog
    let queue: CommandQueue
    let observers: LedgerObservers
    let maxOpenJobs: Int
    let logger: Logger
    let now: @Sendable () -> Timestamp
    var lastSequence: UInt64
    var totals: [JobState: Int]
    /// Why nothing is written any more.
    private(set) var end: OrchestratorError?
    var followUps: FollowUps
    /// After a commit of follow-ups that failed.
    private var followUpsRest: ContinuousClock.Instant?
    let cursors: SinkCursors
    var kept: KeptHistory
    var sweep: Sweep
    /// nil when there is nothing to look for.
    var nextSweep: ContinuousClock.Instant?
    let sweepInterval: Duration
    /// A slice whose attempts' directories are being removed; its rows follow.
    var removal: (step: Sweep.Step, files: OutputRemoval)?
    var sweepWaiters: [CheckedContinuation<Void, Never>] = []
    let removeOutputs: Ledger.Configuration.RemoveOutputs?
    let values = BoundValues()

    /// What a caller is told once the batch is durable.
    private enum Answer {
        case submission(Result<Submission, OrchestratorError>)
        case submissions([Result<Submission, OrchestratorError>])
        case job(Result<Job, OrchestratorError>)
        case publication(Result<Publication, OrchestratorError>)
        case nobodys
    }

    init(
        database: DatabasePool, path: String, index: JobIndex, events: EventLog, queue: CommandQueue,
        observers: LedgerObservers, cursors: SinkCursors, configuration: Ledger.Configuration, logger: Logger,
        now: @escaping @Sendable () -> Timestamp, start: LedgerStore.Start
    ) {
        self.database = database
        self.path = path
        self.index = index
        self.events = events
        self.queue = queue
        self.observers = observers
        self.cursors = cursors
        maxOpenJobs = configuration.maxOpenJobs
        removeOutputs = configuration.removeOutputs
        sweep = Sweep(configuration.retention)
        sweepInterval = configuration.sweepInterval
        nextSweep = sweep.isNeeded ? .now + sweepInterval : nil
        kept = start.kept
        self.logger = logger
        self.now = now
        lastSequence = start.lastSequence
        totals = start.totals
        followUps = start.followUps
    }

    func run() {
        while let work = queue.take(within: pause()) {
            for case .sweep(let caller) in work.requests { sweepWaiters.append(caller) }
            defer {
                followUp()
                sweepASlice()
            }
            if work.requests.isEmpty && work.cursors.isEmpty { continue }
            var cursors = work.cursors
            var rest = work.requests[...]
            repeat {
                var weight = 0
                let batch = rest.prefix { request in
                    defer { weight += request.weight }
                    return weight < Self.maxBatch
                }
                rest = rest.dropFirst(batch.count)
                commit(batch, cursors: cursors)
                cursors = [:]
            } while !rest.isEmpty
        }
        for waiter in sweepWaiters { waiter.resume() }
    }

    // MARK: What follows

    /// Until something is due; nil is until somebody asks for something.
    private func pause() -> Duration? {
        var pauses: [Duration] = []
        let now = now()
        if let next = followUps.nextTime(now: now) {
            let rest = followUpsRest.map { $0 - .now } ?? .zero
            // Looked at now and then, since the wall clock may be set while we sleep.
            pauses.append(min(max(rest, now.duration(to: next)), .seconds(10)))
        }
        // A removal of files nudges when it is done.
        if let nextSweep, removal == nil { pauses.append(nextSweep - .now) }
        return pauses.min().map { max(.zero, $0) }
    }

    /// One transaction of it: callers come between.
    private func followUp() {
        if let rest = followUpsRest, rest > .now { return }
        let commands = followUps.due(now: now(), limit: Self.maxBatch)
        if commands.isEmpty { return }
        let isDone = commit(commands.map { .followUp($0.id, $0.command) }[...], cursors: [:])
        if isDone { followUps.done(commands) }
        followUpsRest = isDone ? nil : .now + .seconds(1)
    }

    /// - Returns: false when it failed, and nothing was changed.
    @discardableResult
    private func commit(_ requests: ArraySlice<LedgerRequest>, cursors: [String: UInt64]) -> Bool {
        if let end {
            for request in requests { refuse(request, end) }
            return false
        }
        var batch = LedgerBatch(
            lastSequence: lastSequence, openJobs: index.size.open, maxOpenJobs: maxOpenJobs, now: now(),
            capacity: requests.count)
        var answers: [Answer] = []
        answers.reserveCapacity(requests.count)
        var newTotals = totals
        var newKept = kept
        var seconds = 0.0
        var rows = 0
        var systemError: Int32 = 0
        do {
            try database.writeWithoutTransaction { database in
                for request in requests { answers.append(apply(request, to: &batch, in: database)) }
                batch.settleParents()
                if batch.isEmpty && cursors.isEmpty { return }
                for change in batch.changes {
                    if let oldState = change.oldState { newTotals[oldState, default: 0] -= 1 }
                    newTotals[change.row.job.state, default: 0] += 1
                }
                newKept.ended(batch.changes)
                let start = ContinuousClock.now
                do {
                    try inTransaction(database) {
                        rows = try write(batch, cursors: cursors, totals: newTotals, in: database)
                        try newKept.write(replacing: kept, in: database, values: values)
                    }
                } catch {
                    systemError = sqlite3_system_errno(database.sqliteConnection)
                    throw error
                }
                seconds = (ContinuousClock.now - start).inSeconds
            }
        } catch {
            let failure = failure(for: error, systemError: systemError)
            if Self.isBroken(error, systemError: systemError) {
                end = failure
                // Callers that come now are told at once; those that wait already, by the next rounds.
                queue.close()
            } else {
                queue.giveBack(cursors)
            }
            note(failure)
            for (request, answer) in zip(requests, answers) { refuse(request, answer, failure) }
            for request in requests.dropFirst(answers.count) { refuse(request, failure) }
            return false
        }
        note(nil)
        lastSequence = batch.lastSequence
        totals = newTotals
        kept = newKept
        self.cursors.committed(cursors)
        observers.history.withLock { $0 = kept.size }

        var released: [Job] = []
        if !batch.isEmpty {
            let releases = followUps.committed(batch.changes)
            index.apply(batch.changes)
            released = index.release(releases) + batch.returned
        }
        if !batch.events.isEmpty { events.append(batch.events) }
        for (request, answer) in zip(requests, answers) { reply(request, answer) }
        if !batch.events.isEmpty { events.wakeAll() }
        if rows > 0 {
            observers.tell(
                CommittedBatch(
                    events: batch.events, changeOfEvent: batch.places.map(\.change),
                    changes: batch.changes.map { CommittedBatch.Change(job: $0.row.job, oldState: $0.oldState) },
                    rows: rows, commitSeconds: seconds, released: released))
        }
        return true
    }

    // MARK: Applying

    private func apply(_ request: LedgerRequest, to batch: inout LedgerBatch, in database: Database) -> Answer {
        switch request {
        case .submit(let spec, let isNew, _):
            .submission(submit(spec, isNew: isNew, to: &batch, in: database))
        case .submitMany(let specs, _): .submissions(submit(specs, to: &batch, in: database))
        case .change(let id, let command, _):
            .job(apply(command, key: JobKey(id), to: &batch, in: database).map(\.job))
        case .publish(let event, _): .publication(publish(event, to: &batch, in: database))
        case .followUp(let id, let command):
            followUp(command, id: id, to: &batch, in: database)
        case .sweep: .nobodys
        }
    }

    private func followUp(
        _ command: JobMachine.Command, id: String, to batch: inout LedgerBatch, in database: Database
    ) -> Answer {
        if case .failure(let error) = apply(command, key: JobKey(id), to: &batch, in: database) {
            logger.error("what follows for a job can't be applied: \(error)", metadata: .job(id, in: index))
        }
        return .nobodys
    }

    private func publish(
        _ agents: AgentEvent, to batch: inout LedgerBatch, in database: Database
    ) -> Result<Publication, OrchestratorError> {
        do throws(OrchestratorError) {
            if !agents.id.isEmpty, let known = try published(agents.id, batch, in: database) {
                guard
                    known.type.rawValue == agents.type, known.jobID == agents.jobID, known.data == agents.data
                else {
                    throw OrchestratorError(
                        .alreadyExists,
                        "event_id \(agents.id.debugDescription) was published with other content, as event "
                            + "\(known.sequence); use a new id or send the same content")
                }
                return .success(Publication(event: known, alreadyExisted: true))
            }
            let event = try batch.publish(agents) { key throws(OrchestratorError) in try committed(key, in: database) }
            return .success(Publication(event: event, alreadyExisted: false))
        } catch {
            return .failure(error)
        }
    }

    private func published(
        _ id: String, _ batch: LedgerBatch, in database: Database
    ) throws(OrchestratorError) -> Event? {
        if let event = batch.published[id] { return event }
        do {
            let statement = try database.cachedStatement(
                sql: EventRow.selectSQL + " WHERE sequence = (SELECT sequence FROM published WHERE id = ?)")
            return try Row.fetchOne(statement, arguments: [id]).map { try EventRow.event($0) }
        } catch {
            throw failure(for: error)
        }
    }

    /// Parents come before their children here. One that was refused takes its children with it: its id may be that of
    /// another job, which they did not mean.
    private func submit(
        _ specs: [JobSpec], to batch: inout LedgerBatch, in database: Database
    ) -> [Result<Submission, OrchestratorError>] {
        var refused: Set<String> = []
        return specs.map { spec in
            let result: Result<Submission, OrchestratorError>
            if let parent = spec.dependsOn.first(where: refused.contains) {
                result = .failure(.refusedParent(parent))
            } else {
                result = submit(spec, isNew: false, to: &batch, in: database)
            }
            if case .failure = result { refused.insert(spec.id) }
            return result
        }
    }

    private func submit(
        _ spec: JobSpec, isNew: Bool, to batch: inout LedgerBatch, in database: Database
    ) -> Result<Submission, OrchestratorError> {
        apply(.submit(spec), key: spec.key, isNew: isNew, to: &batch, in: database)
            .map { Submission(job: $0.job, alreadyExisted: $0.existed) }
    }

    private func apply(
        _ command: JobMachine.Command, key: JobKey, isNew: Bool = false, to batch: inout LedgerBatch,
        in database: Database
    ) -> Result<(job: Job, existed: Bool), OrchestratorError> {
        let jitter: Double =
            switch command {
            case .finish, .slurm: .random(in: 0..<1)
            default: 0
            }
        do throws(OrchestratorError) {
            return .success(
                try batch.apply(command, key: key, isNew: isNew, jitter: jitter) { key throws(OrchestratorError) in
                    try committed(key, in: database)
                })
        } catch {
            return .failure(error)
        }
    }

    private func committed(_ key: JobKey, in database: Database) throws(OrchestratorError) -> JobRow? {
        if let row = index.row(key) { return row }
        if index.size.isComplete { return nil }
        do {
            return try JobRow.find(key.id, in: database)
        } catch {
            throw failure(for: error)
        }
    }

    // MARK: Writing

    /// GRDB's `inTransaction` prepares its two statements every time, which costs the commit of a lone job a tenth.
    private func inTransaction(_ database: Database, _ body: () throws -> Void) throws {
        try database.cachedStatement(sql: "BEGIN IMMEDIATE").execute()
        do {
            try body()
            try database.cachedStatement(sql: "COMMIT").execute()
        } catch {
            // The first error is the one that says why; SQLite may have rolled back by itself.
            try? database.rollback()
            throw error
        }
    }

    /// - Returns: rows written.
    private func write(
        _ batch: LedgerBatch, cursors: [String: UInt64], totals newTotals: [JobState: Int], in database: Database
    ) throws -> Int {
        var rows = 0
        if !batch.isEmpty {
            var (new, changed): ([JobRow], [JobRow]) = ([], [])
            for change in batch.changes {
                if change.oldState == nil { new.append(change.row) } else { changed.append(change.row) }
            }
            try JobRow.insert(new, in: database, values: values)
            try JobRow.update(changed, in: database, values: values)
            try EventRow.insert(batch.events, jobs: batch.places.map(\.job), in: database, values: values)
            try write(published: batch.published, in: database)
            var total = try RowWriter(
                database, sql: "INSERT OR REPLACE INTO totals (state, jobs) VALUES (?,?)", values: values)
            for (state, count) in newTotals where state.isTerminal && totals[state] != count {
                total.bind(state.rawValue)
                total.bind(count)
                try total.run()
            }
            rows += batch.changes.count + batch.events.count
        }
        if !cursors.isEmpty {
            var cursor = try RowWriter(
                database, sql: "INSERT OR REPLACE INTO cursors (name, sequence) VALUES (?,?)", values: values)
            for (name, sequence) in cursors {
                cursor.bind(name)
                cursor.bind(sequence)
                try cursor.run()
            }
            rows += cursors.count
        }
        return rows
    }

    private func write(published: [String: Event], in database: Database) throws {
        if published.isEmpty { return }
        var row = try RowWriter(
            database, sql: "INSERT OR REPLACE INTO published (id, sequence) VALUES (?,?)", values: values)
        for (id, event) in published {
            row.bind(id)
            row.bind(event.sequence)
            try row.run()
        }
        // Ids of events that are no longer kept.
        try database.cachedStatement(
            sql: "DELETE FROM published WHERE sequence < (SELECT min(sequence) FROM events)"
        ).execute()
    }

    // MARK: Answering

    private func reply(_ request: LedgerRequest, _ answer: Answer) {
        switch (request, answer) {
        case (.submit(_, _, let reply), .submission(let result)): reply(result)
        case (.submitMany(_, let reply), .submissions(let results)): reply(results)
        case (.change(_, _, let reply), .job(let result)): reply(result)
        case (.publish(_, let reply), .publication(let result)): reply(result)
        case (.submit, _), (.submitMany, _), (.change, _), (.publish, _), (.followUp, _), (.sweep, _):
            break
        }
    }

    /// The commit failed: those that would have succeeded get `failure`, the others what they had coming.
    private func refuse(_ request: LedgerRequest, _ answer: Answer, _ failure: OrchestratorError) {
        func refused<Value>(_ result: Result<Value, OrchestratorError>) -> Result<Value, OrchestratorError> {
            result.flatMap { _ in .failure(failure) }
        }
        switch answer {
        case .submission(let result): reply(request, .submission(refused(result)))
        case .submissions(let results): reply(request, .submissions(results.map(refused)))
        case .job(let result): reply(request, .job(refused(result)))
        case .publication(let result): reply(request, .publication(refused(result)))
        case .nobodys: break
        }
    }

    /// Before anything was done for it.
    private func refuse(_ request: LedgerRequest, _ failure: OrchestratorError) {
        switch request {
        case .submit(_, _, let reply): reply(.failure(failure))
        case .submitMany(let specs, let reply): reply(specs.map { _ in .failure(failure) })
        case .change(_, _, let reply): reply(.failure(failure))
        case .publish(_, let reply): reply(.failure(failure))
        case .followUp, .sweep: break
        }
    }

    // MARK: Failing

    private static func isBroken(_ error: any Error, systemError: Int32) -> Bool {
        guard let error = error as? DatabaseError else { return false }
        return LedgerFault(error.extendedResultCode, systemError: systemError) == .broken
    }

    func failure(for error: any Error, systemError: Int32 = 0) -> OrchestratorError {
        if let error = error as? OrchestratorError { return error }
        let why = (error as? DatabaseError)?.line ?? "\(error)"
        let fault = (error as? DatabaseError).map { LedgerFault($0.extendedResultCode, systemError: systemError) }
        switch fault {
        case .full:
            return OrchestratorError(
                .resourceExhausted(retryAfter: .seconds(5)),
                "the disk of the ledger \(path) is full, and nothing was changed; free space there, then retry"
            ).because(.diskFull)
        case .broken:
            return OrchestratorError(
                .unavailable,
                "the ledger \(path) could not be written: \(why); the server stops, as it can't know what the disk "
                    + "kept, and running jobs go on; check the disk and start it again, then send the same once more"
            ).because(.ledgerUnavailable)
        case .passing, nil:
            return OrchestratorError(
                .unavailable, "the ledger \(path) could not be written, and nothing was changed: \(why); retry"
            ).because(.ledgerUnavailable)
        }
    }

    /// One line when writing starts to fail, one when it works again.
    func note(_ failure: OrchestratorError?) {
        let before = observers.writeFailure.withLock { current in
            defer { current = failure?.message }
            return current
        }
        if let failure, before == nil { logger.error("\(failure.message)") }
        if failure == nil, before != nil { logger.notice("the ledger \(path) can be written again") }
    }
}

extension OrchestratorError {
    static func refusedParent(_ id: String) -> OrchestratorError {
        .invalidArgument(
            "depends_on",
            "depends_on \(id.debugDescription): that job was refused in the same batch; put it right first")
    }
}
