import Foundation
import GRDB
import Synchronization
import Testing

@testable import Orchestrator

@Suite struct LedgerTests {
    let directory = LedgerDirectory()

    @Test(.timeLimit(.minutes(5))) func aJobLivesItsLifeWithAnEventForEachStep() async throws {
        let ledger = try directory.open()
        let submission = try await ledger.submit(JobSpec(id: "a", labels: ["k": "v"], timeout: .milliseconds(1_500)))
        #expect(!submission.alreadyExisted && submission.job.state == .queued && submission.job.lastSequence == 1)
        #expect(ledger.encoded("a") == "a queued 0")
        #expect(try await ledger.start("a").attempt == 1)
        #expect(ledger.encoded("a") == "a running 1")
        #expect(ledger.counts[.cpuShort] == OpenCount(queued: 0, running: 1))
        #expect(ledger.openJobs().map(\.id) == ["a"])
        let ended = try await ledger.finish("a", attempt: 1, AttemptOutcome(result: Array("1".utf8)))
        #expect(ended.state == .succeeded && ended.lastSequence == 3)
        #expect(ledger.encoded("a") == "a succeeded 1")
        #expect(ledger.cachedJob("a") == ended)
        #expect(ledger.openJobs().isEmpty)
        #expect(ledger.totals[.succeeded] == 1 && ledger.totals[.running] == 0)
        #expect(try await ledger.allEvents().map(\.type) == [.taskSubmitted, .taskStarted, .taskCompleted])
        await ledger.close()
    }

    @Test(.timeLimit(.minutes(5))) func aRepeatedSubmissionIsTheSameJobAndOtherContentIsRefused() async throws {
        let ledger = try directory.open { $0.recentJobs = 0 }
        let spec = JobSpec(
            id: "a", payload: Array("{\"a\":1}".utf8), priority: -3, labels: ["x": "y", "z": "\"\n"],
            timeout: .nanoseconds(5),
            retry: RetryPolicy(maxAttempts: 2, initialBackoff: .seconds(2), retryOn: [3, 1, 3]))
        // The label's control character is one of the things that are refused.
        await #expect(throws: OrchestratorError.self) { try await ledger.submit(spec) }
        var good = spec
        good.labels = ["x": "y", "z": "\"\\"]
        #expect(try await ledger.submit(good).alreadyExisted == false)
        #expect(try await ledger.submit(good).alreadyExisted)
        _ = try await ledger.cancel("a", reason: "", source: "rpc")
        // It has left memory now: the comparison is with the database's copy.
        #expect(ledger.cachedJob("a") == nil)
        good.source = .fileQueue
        let again = try await ledger.submit(good)
        #expect(again.alreadyExisted && again.job.state == .cancelled)
        good.priority = 1
        let error = await #expect(throws: OrchestratorError.self) { try await ledger.submit(good) }
        #expect(error?.message.contains("a different priority;") == true)
        #expect(ledger.events.lastSequence == 2)
        await ledger.close()
    }

    @Test(.timeLimit(.minutes(5))) func aBatchHasAVerdictForEachJob() async throws {
        let ledger = try directory.open()
        let results = await ledger.submit([
            JobSpec(id: "a"), JobSpec(id: "/"), JobSpec(id: "a"), JobSpec(id: "a", priority: 1), JobSpec(),
        ])
        #expect(try results[0].get().alreadyExisted == false)
        #expect(throws: OrchestratorError.self) { try results[1].get() }
        #expect(try results[2].get().alreadyExisted)
        #expect(throws: OrchestratorError.self) { try results[3].get() }
        #expect(try results[4].get().job.id.count == 36)
        #expect(ledger.events.lastSequence == 2)
        await ledger.close()
    }

    @Test(.timeLimit(.minutes(5))) func aThousandSubmissionsFromSixteenTasksHaveGaplessSequences() async throws {
        let ledger = try directory.open()
        let order = Mutex<[UInt64]>([])
        ledger.observe { batch in order.withLock { $0 += batch.events.map(\.sequence) } }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<16 {
                group.addTask {
                    for number in stride(from: task, to: 1_000, by: 16) {
                        _ = try await ledger.submit(JobSpec(id: "job-\(number)"))
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(try await ledger.allEvents().map(\.sequence) == Array(1...1_000))
        #expect(ledger.openJobs().map(\.lastSequence) == Array(1...1_000))
        // Those who follow are told after the callers.
        await ledger.close()
        #expect(order.withLock { $0 } == Array(1...1_000))
    }

    @Test(.timeLimit(.minutes(5))) func aReopenedLedgerHasTheSameJobsAndEvents() async throws {
        let large = Array("{\"a\":\"\(String(repeating: "x", count: 100_000))\"}".utf8)
        var jobs: [Job] = []
        var events: [Event] = []
        do {
            let ledger = try directory.open()
            _ = try await ledger.submit(
                JobSpec(
                    id: "done", jobClass: .gpu, payload: large, priority: 7, labels: ["ä": "\"ö\\"],
                    timeout: .seconds(3),
                    retry: RetryPolicy(
                        maxAttempts: 3, initialBackoff: .zero, maxBackoff: .seconds(9), retryOn: [1, 2]),
                    source: .fileQueue))
            try await ledger.run("done", AttemptOutcome(exitCode: 1, failure: .exitCode, error: "e"))
            try await ledger.run(
                "done", AttemptOutcome(signal: 9, failure: .outOfMemory, error: "f", result: [1, 0, 2]))
            _ = try await ledger.submit(JobSpec(id: "running"))
            _ = try await ledger.start("running")
            _ = try await ledger.cancel("running", reason: "why", source: "http")
            _ = try await ledger.submit(JobSpec(id: "queued", jobClass: .cpuLong))
            jobs = try ["done", "running", "queued"].map { try #require(ledger.cachedJob($0)) }
            events = try await ledger.allEvents()
            ledger.saveCursor("sink", 5)
            await ledger.close()
            await ledger.close()
            let error = await #expect(throws: OrchestratorError.self) { try await ledger.submit(JobSpec()) }
            #expect(error?.kind == .unavailable)
        }
        let ledger = try directory.open { $0.recoveredEvents = 3 }
        for job in jobs { #expect(ledger.cachedJob(job.id) == job) }
        #expect(try await ledger.allEvents() == events)
        #expect(ledger.openJobs().map(\.id) == ["running", "queued"])
        let none = OpenCount()
        #expect(
            ledger.counts == [
                .cpuShort: OpenCount(running: 1), .cpuLong: OpenCount(queued: 1), .gpu: none, .gpuSlurm: none,
            ])
        #expect(ledger.totals[.failed] == 1 && ledger.totals[.queued] == 1)
        #expect(ledger.cursor("sink") == 5 && ledger.cursor("other") == nil)
        #expect(try await ledger.submit(JobSpec(id: "next")).job.lastSequence == UInt64(events.count + 1))
        await ledger.close()
    }

    @Test(.timeLimit(.minutes(5))) func aSecondServerOnTheDirectoryIsRefused() async throws {
        let ledger = try directory.open()
        let error = #expect(throws: OrchestratorError.self) { try directory.open() }
        #expect(error?.message.contains(directory.path) == true)
        await ledger.close()
        let next = try directory.open()
        await next.close()
    }

    @Test(.timeLimit(.minutes(5))) func aDamagedDatabaseIsNamedWithTheWayOut() throws {
        try FileManager.default.createDirectory(atPath: directory.path, withIntermediateDirectories: true)
        try Data(repeating: 7, count: 10_000).write(to: URL(fileURLWithPath: directory.path + "/ledger.sqlite"))
        let error = #expect(throws: OrchestratorError.self) { try directory.open() }
        #expect(error?.message.contains("ledger.sqlite") == true)
        #expect(error?.message.contains("backup") == true)
    }

    @Test(.timeLimit(.minutes(5))) func aNewerDatabaseIsRefused() async throws {
        await (try directory.open()).close()
        let database = try DatabaseQueue(path: directory.path + "/ledger.sqlite")
        try await database.write { try $0.execute(sql: "INSERT INTO grdb_migrations VALUES ('99: of the future')") }
        try database.close()
        let error = #expect(throws: OrchestratorError.self) { try directory.open() }
        #expect(error?.message.contains("newer version") == true)
    }

    @Test(.timeLimit(.minutes(5))) func `a ledger from before claims knows which ends were another server's`()
        async throws
    {
        var ledger = try directory.open()
        for (id, source) in [("ours", "rpc"), ("others", "file_queue")] {
            _ = try await ledger.submit(JobSpec(id: id, source: .fileQueue))
            _ = try await ledger.cancel(id, reason: "", source: source)
        }
        await ledger.close()
        let database = try DatabaseQueue(path: directory.path + "/ledger.sqlite")
        try await database.write {
            try $0.execute(
                sql: "ALTER TABLE jobs DROP COLUMN claim; DELETE FROM grdb_migrations WHERE identifier LIKE '8:%'")
        }
        try database.close()
        ledger = try directory.open()
        #expect(try await ledger.job("ours").claim == .here)
        #expect(try await ledger.job("others").claim == .elsewhere)
        await ledger.close()
    }

    @Test(.timeLimit(.minutes(5))) func everyCommitReachesTheDisk() async throws {
        let store = try LedgerStore(.init(directory: directory.made()))
        let mode = try await store.database.write { try Int.fetchOne($0, sql: "PRAGMA synchronous") }
        #expect(mode == 2)
        try LedgerStore.close(store.database)
    }

    @Test(.timeLimit(.minutes(5))) func aFailedCommitChangesNothingAndTheWriterGoesOn() async throws {
        let ledger = try directory.open { $0.maxDatabasePages = 60 }
        _ = try await ledger.submit(JobSpec(id: "before"))
        let batches = Mutex(0)
        // Nothing new, and answered once everybody has been told of the first.
        _ = try await ledger.submit(JobSpec(id: "before"))
        ledger.observe { _ in batches.withLock { $0 += 1 } }
        let large = Array("{\"a\":\"\(String(repeating: "x", count: 500_000))\"}".utf8)
        let results = await ledger.submit([
            JobSpec(id: "small"), JobSpec(id: "large", payload: large), JobSpec(id: "/"),
        ])
        for result in results[..<2] {
            let error = #expect(throws: OrchestratorError.self) { try result.get() }
            #expect(error?.kind == .resourceExhausted(retryAfter: .seconds(5)))
        }
        #expect(ledger.writeFailure?.contains("full") == true)
        #expect(ledger.cachedJob("small") == nil && ledger.cachedJob("large") == nil)
        #expect(ledger.totals[.queued] == 1 && ledger.events.lastSequence == 1)
        #expect(batches.withLock { $0 } == 0)

        #expect(try await ledger.submit(JobSpec(id: "small")).job.lastSequence == 2)
        #expect(ledger.writeFailure == nil)
        await ledger.close()
        let again = try directory.open()
        #expect(again.openJobs().map(\.id) == ["before", "small"])
        #expect(try await again.allEvents().map(\.sequence) == [1, 2])
        await again.close()
    }

    @Test(.timeLimit(.minutes(5))) func endedJobsLeaveMemoryAndAreFoundInTheDatabase() async throws {
        let ledger = try directory.open { $0.recentJobs = 2 }
        for id in ["a", "b", "c", "d"] {
            _ = try await ledger.submit(JobSpec(id: id, payload: Array("{\"id\":\"\(id)\"}".utf8)))
        }
        for id in ["b", "a", "c"] { try await ledger.run(id) }
        #expect(ledger.cachedJob("b") == nil && ledger.encoded("b") == nil)
        #expect(ledger.cachedJob("a") != nil && ledger.cachedJob("d") != nil)
        let job = try await ledger.job("b")
        #expect(job.state == .succeeded && job.spec.payload == Array("{\"id\":\"b\"}".utf8))
        #expect(try await ledger.cancel("b", reason: "", source: "rpc") == job)
        let error = await #expect(throws: OrchestratorError.self) { try await ledger.job("nobody") }
        #expect(error?.kind == .notFound)
        #expect(error?.message.contains("nobody") == true)
        #expect(ledger.totals[.succeeded] == 3)
        await ledger.close()
        let again = try directory.open { $0.recentJobs = 2 }
        #expect(again.totals[.succeeded] == 3 && again.cachedJob("d") != nil)
        await again.close()
    }

    @Test(.timeLimit(.minutes(5))) func pagesStayInPlaceWhileJobsComeIn() async throws {
        let ledger = try directory.open()
        for number in 0..<10 {
            _ = try await ledger.submit(
                JobSpec(
                    id: "j\(number)", jobClass: number % 2 == 0 ? .gpu : .cpuLong,
                    labels: number < 5 ? ["half": "1", "n": "\(number)"] : [:]))
        }
        try await ledger.run("j9")
        var page = try await ledger.list(JobQuery(limit: 4))
        #expect(page.jobs.map(\.id) == ["j9", "j8", "j7", "j6"])
        #expect(page.jobs.allSatisfy { $0.spec.payload.isEmpty })
        _ = try await ledger.submit(JobSpec(id: "late"))
        page = try await ledger.list(JobQuery(limit: 4, pageToken: page.nextPageToken))
        #expect(page.jobs.map(\.id) == ["j5", "j4", "j3", "j2"])
        page = try await ledger.list(JobQuery(limit: 4, pageToken: page.nextPageToken))
        #expect(page.jobs.map(\.id) == ["j1", "j0"] && page.nextPageToken.isEmpty)

        func ids(_ query: JobQuery) async throws -> [String] { try await ledger.list(query).jobs.map(\.id) }
        #expect(try await ids(JobQuery(states: [.succeeded])) == ["j9"])
        #expect(try await ids(JobQuery(classes: [.gpu], labels: ["half": "1"])) == ["j4", "j2", "j0"])
        #expect(try await ids(JobQuery(labels: ["half": "1", "n": "3"])) == ["j3"])
        let middle = try #require(ledger.cachedJob("j5")?.submittedAt)
        #expect(try await ids(JobQuery(submittedAfter: middle, limit: 1_000)).last == "j6")
        #expect(try await ids(JobQuery(submittedBefore: middle)).first == "j4")
        for bad in [JobQuery(limit: -1), JobQuery(limit: 1_001), JobQuery(pageToken: "x")] {
            await #expect(throws: OrchestratorError.self) { try await ledger.list(bad) }
        }
        await ledger.close()
    }

    @Test(.timeLimit(.minutes(5))) func openJobsAreLimited() async throws {
        let ledger = try directory.open { $0.maxOpenJobs = 2 }
        _ = try await ledger.submit(JobSpec(id: "a"))
        let results = await ledger.submit([JobSpec(id: "b"), JobSpec(id: "c"), JobSpec(id: "a")])
        #expect(results.map { (try? $0.get()) != nil } == [true, false, true])
        _ = try await ledger.cancel("a", reason: "", source: "rpc")
        _ = try await ledger.submit(JobSpec(id: "c"))
        await ledger.close()
    }

    @Test(.timeLimit(.minutes(5))) func anObserverSeesACancelOfARunningJob() async throws {
        let ledger = try directory.open()
        let seen = Mutex<[String]>([])
        ledger.observe { batch in
            let lines = batch.changes.map {
                "\($0.oldState?.word ?? "new") \($0.job.state.word) \($0.job.cancelReason ?? "-")"
            }
            seen.withLock { $0 += lines }
        }
        _ = try await ledger.submit(JobSpec(id: "a"))
        _ = try await ledger.start("a")
        _ = try await ledger.cancel("a", reason: "why", source: "rpc")
        _ = try await ledger.finish("a", attempt: 1, AttemptOutcome(signal: 15, failure: .signal))
        await ledger.close()
        #expect(
            seen.withLock { $0 } == [
                "new queued -", "queued running -", "running running why", "running cancelled why",
            ])
    }
}

extension LedgerDirectory {
    func made() throws -> String {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return path
    }
}
