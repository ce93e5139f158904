import Foundation
import GRDB
import Synchronization
import Testing

@testable import Orchestrator

@Suite(.timeLimit(.minutes(5))) struct RetentionTests {
    let directory = LedgerDirectory()
    let clock = SetClock()

    func open(
        _ retention: Retention, recentJobs: Int = 10_000, removeOutputs: (@Sendable ([String]) -> Void)? = nil
    ) throws -> Ledger {
        try directory.open({ configuration in
            configuration.retention = retention
            configuration.recentJobs = recentJobs
            if let removeOutputs { configuration.removeOutputs = { ids, _ in removeOutputs(ids) } }
            configuration.ringEvents = 8
            configuration.sweepInterval = .seconds(86_400)
        }) { [clock] in clock.now }
    }

    /// Submitted, run and ended, one second after the other.
    func end(_ ledger: Ledger, _ ids: String..., bytes: Int64 = 0) async throws {
        for id in ids {
            clock.advance(by: .seconds(1))
            _ = try await ledger.submit(JobSpec(id: id))
            try await ledger.run(id, AttemptOutcome(outputBytes: bytes))
        }
    }

    func kept(_ ledger: Ledger) async throws -> [String] {
        try await ledger.list(JobQuery()).jobs.map(\.id).reversed()
    }

    // MARK: Events

    @Test func `the newest events are kept, and a cursor before them is told where to go on`() async throws {
        let retention = Retention(events: .init(count: 100))
        var ledger = try open(retention)
        let reader = try await ledger.makeReader(after: 0)
        var first = ReaderTranscript()
        for number in 0..<80 { try await end(ledger, "j\(number)") }
        withUnsafeTemporaryAllocation(byteCount: 40, alignment: 1) { #expect(reader.read(into: $0) == .needsHistory) }
        reader.supply(try await ledger.events.page(after: 0, filter: .all, maxBytes: 40))
        withUnsafeTemporaryAllocation(byteCount: 20, alignment: 1) { #expect(reader.read(into: $0) == .bytes(20)) }
        await ledger.sweep()
        #expect(ledger.events.oldestSequence == 141 && ledger.events.lastSequence == 240)
        #expect(try await ledger.allEvents().map(\.sequence) == Array(141...240))

        // The one that has begun goes on with what it holds, then learns that the rest is gone.
        let error = await #expect(throws: OrchestratorError.self) {
            _ = try await first.drain(reader, of: ledger.events)
        }
        #expect(error?.kind == .outOfRange(oldest: 141))
        await #expect(throws: OrchestratorError.self) { _ = try await ledger.makeReader(after: 139) }
        for (after, count) in [(UInt64(0), 100), (140, 100), (239, 1)] {
            var transcript = ReaderTranscript()
            let reader = try await ledger.makeReader(after: after)
            #expect(try await transcript.drain(reader, of: ledger.events) == .caughtUp)
            #expect(transcript.sequences == Array((241 - UInt64(count))...240))
        }
        await ledger.close()
        ledger = try open(retention)
        #expect(ledger.events.oldestSequence == 141)
        #expect(try await ledger.submit(JobSpec(id: "next")).job.lastSequence == 241)
        await ledger.close()
    }

    @Test func `events go by age, but never the newest, so that no sequence comes twice`() async throws {
        let retention = Retention(events: .init(age: .seconds(60)))
        var ledger = try open(retention)
        try await end(ledger, "a", "b", "c")
        clock.advance(by: .seconds(58))
        await ledger.sweep()
        #expect(ledger.events.oldestSequence == 1)
        clock.advance(by: .seconds(1))
        await ledger.sweep()
        #expect(ledger.events.oldestSequence == 4)
        clock.advance(by: .seconds(86_400))
        await ledger.sweep()
        #expect(ledger.events.oldestSequence == 9)
        await ledger.close()
        ledger = try open(retention)
        #expect(ledger.events.lastSequence == 9)
        try await end(ledger, "d")
        #expect(ledger.cachedJob("d")?.lastSequence == 12)
        await ledger.close()
    }

    @Test func `a sink that is behind holds events and jobs, until it has come by or the bytes are out`() async throws {
        let ledger = try open(
            Retention(jobs: .init(count: 0), events: .init(age: .seconds(1), count: 1)))
        ledger.waitForSink("slow")
        try await end(ledger, "a", "b", "c")
        clock.advance(by: .seconds(100))
        await ledger.sweep()
        #expect(ledger.events.oldestSequence == 1)
        #expect(try await kept(ledger) == ["a", "b", "c"])
        ledger.saveCursor("slow", 6)
        // With the next commit the cursor is durable.
        _ = try await ledger.submit(JobSpec(id: "d"))
        await ledger.sweep()
        #expect(ledger.events.oldestSequence == 7)
        #expect(try await kept(ledger) == ["c", "d"])
        await ledger.close()
    }

    @Test func `events of a job that is gone are still found by its id`() async throws {
        let ledger = try open(Retention(jobs: .init(count: 1)))
        try await end(ledger, "a", "b", "c", "d", "e")
        await ledger.sweep()
        #expect(try await kept(ledger) == ["e"])
        for ids in [Set(["b"]), ["b", "e"], ["b", "nobody"]] {
            let reader = try await ledger.makeReader(after: 0, filter: EventFilter(jobIDs: ids))
            var transcript = ReaderTranscript()
            #expect(try await transcript.drain(reader, of: ledger.events) == .caughtUp)
            #expect(transcript.sequences == (ids.contains("e") ? [4, 5, 6, 13, 14, 15] : [4, 5, 6]))
        }
        await ledger.close()
    }

    @Test func `an id that is used again finds both jobs' events, and a stream ends with the later job`() async throws {
        let ledger = try open(Retention(jobs: .init(count: 1)))
        try await end(ledger, "a", "b")
        await ledger.sweep()
        #expect(try await kept(ledger) == ["b"])
        _ = try await ledger.submit(JobSpec(id: "a"))
        let filter = EventFilter(jobIDs: ["a"])
        let reader = try await ledger.makeReader(after: 0, filter: filter, endWhenDone: true)
        var transcript = ReaderTranscript()
        #expect(try await transcript.drain(reader, of: ledger.events) == .caughtUp)
        #expect(transcript.sequences == [1, 2, 3, 7])
        try await ledger.run("a")
        #expect(try await transcript.drain(reader, of: ledger.events) == .ended)
        #expect(transcript.sequences == [1, 2, 3, 7, 8, 9])
        // The same from the database.
        let page = try await ledger.events.page(after: 0, filter: filter, maxBytes: 10_000)
        #expect(page.records.map(\.sequence) == [1, 2, 3, 7, 8, 9])
        await ledger.close()
    }

    @Test func `an id that a thousand jobs had finds all their events, a stretch of the log at a time`() async throws {
        let first = try open(Retention())
        _ = try await first.submit(JobSpec(id: "first"))
        await first.close()
        let database = try DatabasePool(path: directory.path + "/ledger.sqlite")
        try await database.write { database in
            try database.execute(
                sql: """
                    WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 120000)
                    INSERT INTO events (sequence, job, job_id, type, time, attempt, state, data, source)
                    SELECT i, i, CASE WHEN i % 100 = 0 THEN 'again' ELSE 'other-' || i END, type, time, attempt, state,
                        data, source FROM n, (SELECT * FROM events);
                    INSERT INTO gone SELECT job, job_id, sequence FROM events WHERE job_id = 'again';
                    """)
        }
        try database.close()
        let ledger = try open(Retention())
        var (after, found): (UInt64, [UInt64]) = (0, [])
        while after < ledger.events.lastSequence {
            let page = try await ledger.events.page(
                after: after, filter: EventFilter(jobIDs: ["again"]), maxBytes: 1 << 20)
            try #require(page.through > after && page.through - after <= EventLog.rowsScanned)
            found += page.records.map(\.sequence)
            after = page.through
        }
        #expect(found == Array(stride(from: 100, through: 120_000, by: 100)))
        await ledger.close()
    }

    // MARK: Jobs

    @Test(arguments: [10_000, 0]) func `ended jobs go by count, the first to end first`(recentJobs: Int) async throws {
        let retention = Retention(jobs: .init(count: 2))
        var ledger = try open(retention, recentJobs: recentJobs)
        for id in ["a", "b", "c", "open"] { _ = try await ledger.submit(JobSpec(id: id)) }
        for id in ["c", "a", "b"] {
            clock.advance(by: .seconds(1))
            try await ledger.run(id)
        }
        await ledger.sweep()
        #expect(try await kept(ledger) == ["a", "b", "open"])
        #expect(ledger.history.endedJobs == 2 && ledger.totals[.succeeded] == 3)
        let error = await #expect(throws: OrchestratorError.self) { try await ledger.job("c") }
        #expect(error?.kind == .notFound)
        // Its id is free again.
        #expect(try await ledger.submit(JobSpec(id: "c", priority: 3)).alreadyExisted == false)
        await ledger.close()
        ledger = try open(retention, recentJobs: recentJobs)
        #expect(ledger.history.endedJobs == 2 && ledger.totals[.succeeded] == 3)
        #expect(try await ledger.submit(JobSpec(id: "a")).alreadyExisted)
        #expect(try await ledger.submit(JobSpec(id: "never-seen")).alreadyExisted == false)
        try await ledger.run("c")
        await ledger.sweep()
        #expect(try await kept(ledger) == ["b", "open", "c", "never-seen"])
        await ledger.close()
    }

    @Test func `ended jobs go by age, with their large payloads`() async throws {
        let ledger = try open(Retention(jobs: .init(age: .seconds(60))))
        let large = Array("{\"a\":\"\(String(repeating: "x", count: 10_000))\"}".utf8)
        _ = try await ledger.submit(JobSpec(id: "large", payload: large))
        _ = try await ledger.cancel("large", reason: "", source: "rpc")
        clock.advance(by: .seconds(30))
        try await end(ledger, "later")
        clock.advance(by: .seconds(31))
        await ledger.sweep()
        #expect(try await kept(ledger) == ["later"])
        await ledger.close()
        let database = try DatabaseQueue(path: directory.path + "/ledger.sqlite")
        #expect(try await database.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM large_payloads") } == 0)
        try database.close()
    }

    @Test func `a job stays as long as an open one depends on it, however many of its kind there are`() async throws {
        var ledger = try open(Retention(jobs: .init(count: 0)))
        _ = try await ledger.submit(JobSpec(id: "gate"))
        // More than one slice of them.
        let parents = (0..<3).flatMap { group in (0..<250).map { "p\(group)-\($0)" } }
        for id in parents { _ = try await ledger.submit(JobSpec(id: id)) }
        for group in 0..<3 {
            _ = try await ledger.submit(
                JobSpec(id: "child\(group)", dependsOn: ["gate"] + (0..<250).map { "p\(group)-\($0)" }))
        }
        for id in parents { try await ledger.run(id) }
        try await end(ledger, "other")
        await ledger.sweep()
        #expect(ledger.history.endedJobs == 750)
        await ledger.close()
        // At a start the children ask how their parents ended.
        ledger = try open(Retention(jobs: .init(count: 0)))
        await ledger.sweep()
        #expect(ledger.history.endedJobs == 750)
        for group in 0..<3 { #expect(ledger.cachedJob("child\(group)")?.openParents == 1) }
        try await ledger.run("gate", AttemptOutcome(failure: .exitCode))
        for group in 0..<3 { _ = try await ledger.job("child\(group)") { $0.state.isTerminal } }
        await ledger.sweep()
        #expect(try await kept(ledger).isEmpty)
        await ledger.close()
    }

    // MARK: Outputs

    final class Removals: Sendable {
        private let state = Mutex<[String]>([])
        var ids: [String] { state.withLock { $0 } }
        func remove(_ ids: [String]) { state.withLock { $0 += ids } }
    }

    @Test func `outputs go by count, bytes and age, and with their jobs`() async throws {
        let removals = Removals()
        func open(_ retention: Retention) throws -> Ledger {
            try self.open(retention) { removals.remove($0) }
        }
        var ledger = try open(Retention(outputs: .init(count: 3)))
        try await end(ledger, "a", "b", bytes: 100)
        _ = try await ledger.submit(JobSpec(id: "never-ran"))
        _ = try await ledger.cancel("never-ran", reason: "", source: "rpc")
        try await end(ledger, "c", "d", bytes: 10)
        #expect(ledger.history == HistorySize(endedJobs: 5, outputs: 4, outputBytes: 220))
        await ledger.sweep()
        #expect(removals.ids == ["a"])
        #expect(ledger.history == HistorySize(endedJobs: 5, outputs: 3, outputBytes: 120))
        await ledger.close()

        ledger = try open(Retention(outputBytes: 20))
        await ledger.sweep()
        #expect(removals.ids == ["a", "b"] && ledger.history.outputBytes == 20)
        await ledger.close()

        ledger = try open(Retention(outputs: .init(age: .seconds(60))))
        clock.advance(by: .seconds(60))
        await ledger.sweep()
        #expect(removals.ids == ["a", "b", "c"] && ledger.history.outputs == 1)
        await ledger.close()

        ledger = try open(Retention(jobs: .init(count: 0)))
        await ledger.sweep()
        // Asked for again is no harm; what never ran has none.
        #expect(removals.ids == ["a", "b", "c", "a", "b", "c", "d"])
        #expect(ledger.history == HistorySize())
        await ledger.close()
    }

    @Test func `a server that dies before the rows are gone removes the outputs again`() async throws {
        let removals = Removals()
        let gate = DispatchSemaphore(value: 0)
        let isRemoving = Signal()
        var ledger = try open(Retention(jobs: .init(count: 0))) { ids in
            removals.remove(ids)
            isRemoving.raise()
            gate.wait()
        }
        try await end(ledger, "a")
        let sweep = Task { [ledger] in await ledger.sweep() }
        await isRemoving.wait()
        // Callers are served meanwhile.
        #expect(try await ledger.job("a").state == .succeeded)
        _ = try await ledger.submit(JobSpec(id: "b"))
        await ledger.close()
        await sweep.value
        gate.signal()
        ledger = try open(Retention(jobs: .init(count: 0))) { removals.remove($0) }
        #expect(try await ledger.job("a").state == .succeeded)
        await ledger.sweep()
        #expect(removals.ids == ["a", "a"])
        await #expect(throws: OrchestratorError.self) { try await ledger.job("a") }
        await ledger.close()
    }

    // MARK: Bytes

    @Test func `the ledger stays under its size whatever its sinks do, and the file shrinks`() async throws {
        var ledger = try open(.everything)
        let payload = Array("{\"a\":\"\(String(repeating: "x", count: 1_900))\"}".utf8)
        for start in stride(from: 0, to: 6_000, by: 1_000) {
            clock.advance(by: .seconds(1))
            _ = await ledger.submit((start..<start + 1_000).map { JobSpec(id: "j\($0)", payload: payload) })
            for number in start..<start + 1_000 {
                _ = try await ledger.cancel("j\(number)", reason: "", source: "rpc")
            }
        }
        _ = try await ledger.submit(JobSpec(id: "open"))
        await ledger.close()
        let file = directory.path + "/ledger.sqlite"
        func size() throws -> Int { try FileManager.default.attributesOfItem(atPath: file)[.size] as? Int ?? 0 }
        let before = try size()
        #expect(before > 12 << 20)

        ledger = try open(Retention(ledgerBytes: 4 << 20))
        ledger.waitForSink("dead")
        await ledger.sweep()
        let jobs = try await ledger.list(JobQuery(limit: 1_000)).jobs.map(\.id)
        #expect(jobs.first == "open" && jobs.dropFirst().first == "j5999" && ledger.events.oldestSequence > 1_000)
        await ledger.close()
        #expect(try size() < 7 << 20)
        ledger = try open(.everything)
        #expect(ledger.openJobs().map(\.id) == ["open"])
        await ledger.close()
    }

    // MARK: Old directories

    @Test func `a directory of the first version opens, and its history is counted`() async throws {
        try FileManager.default.createDirectory(atPath: directory.path, withIntermediateDirectories: true)
        let database = try DatabasePool(path: directory.path + "/ledger.sqlite")
        try LedgerSchema.migrator.migrate(database, upTo: "1: jobs, events, cursors")
        try await database.write { database in
            for (number, state) in [(1, 4), (2, 5), (3, 6), (4, 1)] {
                try database.execute(
                    sql: """
                        INSERT INTO jobs (number, id, class, submitted_at, max_attempts, source, payload, state, priority,
                            attempt, unstarted_attempts, finished_at, exit_code, signal, last_sequence)
                        VALUES (?, ?, 1, 5, 0, 'rpc', x'7b7d', ?, 0, ?, 0, ?, 0, 0, ?)
                        """,
                    arguments: [number, "j\(number)", state, number % 2, state >= 4 ? number : nil, number])
                try database.execute(
                    sql: "INSERT INTO events VALUES (?, ?, ?, 'task_submitted', 5, 0, 1, x'7b7d', 'rpc')",
                    arguments: [number, number, "j\(number)"])
                try database.execute(sql: "INSERT OR REPLACE INTO totals VALUES (?, 1)", arguments: [state])
            }
        }
        try database.close()
        let ledger = try open(Retention(jobs: .init(count: 1)))
        #expect(ledger.history == HistorySize(endedJobs: 3, outputs: 2))
        let totals = ledger.totals.filter { $0.value > 0 }
        #expect(totals == [.succeeded: 1, .failed: 1, .cancelled: 1, .queued: 1])
        #expect(try await ledger.submit(JobSpec(id: "j2")).alreadyExisted)
        await ledger.sweep()
        #expect(try await kept(ledger) == ["j3", "j4"])
        try await ledger.run("j4")
        // Of one that is kept and one that is gone.
        let page = try await ledger.events.page(
            after: 0, filter: EventFilter(jobIDs: ["j1", "j4"]), maxBytes: 1 << 20)
        #expect(page.records.map(\.sequence) == [1, 4, 5, 6])
        await ledger.close()
    }
}
