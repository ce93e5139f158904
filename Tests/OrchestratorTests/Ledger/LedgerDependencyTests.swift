import GRDB
import Synchronization
import Testing

@testable import Orchestrator

@Suite(.timeLimit(.minutes(5))) struct LedgerDependencyTests {
    let directory = LedgerDirectory()
    let clock = SetClock()

    func submit(_ ledger: Ledger, _ id: String, after parents: String...) async throws -> Job {
        try await ledger.submit(JobSpec(id: id, dependsOn: parents)).job
    }

    private final class Released: Sendable {
        private let state = Mutex<[String]>([])

        init(_ ledger: Ledger) {
            ledger.observe { [self] batch in state.withLock { $0 += batch.released.map(\.id) } }
        }

        var ids: [String] { state.withLock { $0 } }
    }

    func failure(_ body: () async throws -> Void) async throws -> OrchestratorError {
        try await #require(throws: OrchestratorError.self) { try await body() }
    }

    @Test func `a job starts once all of its parents have succeeded`() async throws {
        let ledger = try directory.open()
        let released = Released(ledger)
        _ = try await submit(ledger, "a")
        _ = try await submit(ledger, "b")
        #expect(try await submit(ledger, "c", after: "b", "a", "b").openParents == 2)
        #expect(try await submit(ledger, "d", after: "c").openParents == 1)
        #expect(try await failure { _ = try await ledger.start("c") }.kind == .failedPrecondition)
        try await ledger.run("a")
        #expect(ledger.cachedJob("c")?.openParents == 1)
        try await ledger.run("b")
        #expect(ledger.cachedJob("c")?.openParents == 0 && ledger.cachedJob("d")?.openParents == 1)
        try await ledger.run("c")
        try await ledger.run("d")
        // One whose parents have succeeded already waits for nothing.
        #expect(try await submit(ledger, "e", after: "a", "d").openParents == 0)
        await ledger.close()
        #expect(released.ids == ["c", "d"])
    }

    @Test(arguments: [true, false]) func `a failed parent fails all that depend on it, however far`(
        isCancelled: Bool
    ) async throws {
        let ledger = try directory.open { $0.recentJobs = 0 }
        _ = try await submit(ledger, "a")
        _ = try await submit(ledger, "other")
        for (parent, child) in zip("abcde", "bcdef") { _ = try await submit(ledger, "\(child)", after: "\(parent)") }
        _ = try await submit(ledger, "z", after: "e", "other")
        if isCancelled {
            _ = try await ledger.cancel("a", reason: "", source: "rpc")
        } else {
            try await ledger.run("a", AttemptOutcome(exitCode: 1, failure: .exitCode))
        }
        for (parent, child) in zip("abcde", "bcdef") {
            let job = try await ledger.job("\(child)") { $0.state.isTerminal }
            #expect(job.state == .failed && job.failureReason == .dependencyFailed && job.attempt == 0)
            #expect(job.error.contains("job \"\(parent)\" \(isCancelled && child == "b" ? "was cancelled" : "failed")"))
        }
        #expect(try await ledger.job("z") { $0.state.isTerminal }.failureReason == .dependencyFailed)
        #expect(ledger.cachedJob("other")?.state == .queued)
        // Depending on what has failed long ago is no different.
        _ = try await submit(ledger, "late", after: "f")
        #expect(try await ledger.job("late") { $0.state.isTerminal }.failureReason == .dependencyFailed)
        await ledger.close()
    }

    @Test func `parents that are unknown, refused or in a circle are named`() async throws {
        let ledger = try directory.open()
        let unknown = try await failure { _ = try await submit(ledger, "x", after: "nobody") }
        #expect(unknown.kind == .invalidArgument(field: "depends_on") && unknown.message.contains("\"nobody\""))
        #expect(try await failure { _ = try await submit(ledger, "x", after: "x") }.message.contains("itself"))
        #expect(try await failure { _ = try await submit(ledger, "x", after: "a b") }.message.contains("\"a b\""))
        let many = (0...256).map { "p\($0)" }
        #expect(
            try await failure { _ = try await ledger.submit(JobSpec(id: "x", dependsOn: many)) }.message.contains("257")
        )
        _ = try await ledger.submit(JobSpec(id: "taken"))

        let results = await ledger.submit([
            JobSpec(id: "child", dependsOn: ["parent"]), JobSpec(id: "parent"),
            JobSpec(id: "a", dependsOn: ["b"]), JobSpec(id: "b", dependsOn: ["a"]), JobSpec(id: "c", dependsOn: ["a"]),
            JobSpec(id: "bad", payload: [1]), JobSpec(id: "d", dependsOn: ["bad"]),
            JobSpec(id: "taken", priority: 5), JobSpec(id: "e", dependsOn: ["taken"]),
            JobSpec(id: "f", dependsOn: ["e"]),
        ])
        #expect(results.map { (try? $0.get().job.id) ?? "" } == ["child", "parent", "", "", "", "", "", "", "", ""])
        let messages = results.map { result in
            if case .failure(let error) = result { error.message } else { "" }
        }
        for index in [2, 3, 4] { #expect(messages[index].contains("circle")) }
        #expect(messages[6].contains("\"bad\"") && messages[7].contains("priority"))
        #expect(messages[8].contains("\"taken\"") && messages[9].contains("\"e\""))
        #expect(ledger.openJobs().map(\.id) == ["taken", "parent", "child"])
        await ledger.close()
    }

    @Test func `what depends, and on what, outlives a restart`() async throws {
        func open() throws -> Ledger { try directory.open { $0.recentJobs = 0 } }
        var ledger = try open()
        for id in ["good", "bad", "open"] { _ = try await submit(ledger, id) }
        _ = try await submit(ledger, "x", after: "good", "open")
        _ = try await submit(ledger, "y", after: "open")
        _ = try await submit(ledger, "y2", after: "y")
        try await ledger.run("good")
        await ledger.close()

        ledger = try open()
        #expect(ledger.cachedJob("x")?.openParents == 1)
        let again = try await ledger.submit(JobSpec(id: "x", dependsOn: ["open", "good"]))
        #expect(again.alreadyExisted && again.job.spec.dependsOn == ["good", "open"])
        let other = try await failure { _ = try await ledger.submit(JobSpec(id: "x", dependsOn: ["open"])) }
        #expect(other.kind == .alreadyExists && other.message.contains("depends_on"))
        _ = try await ledger.cancel("y", reason: "", source: "rpc")
        #expect(try await ledger.job("y2") { $0.state.isTerminal }.failureReason == .dependencyFailed)
        let released = Released(ledger)
        try await ledger.run("open")
        await ledger.close()
        #expect(released.ids == ["x"])

        ledger = try open()
        #expect(ledger.openJobs().map(\.id) == ["bad", "x"] && ledger.cachedJob("x")?.openParents == 0)
        try await ledger.run("x")
        await ledger.close()
    }

    @Test func `a crash between a parent's failure and its children's loses nothing`() async throws {
        let ledger = try directory.open()
        _ = try await submit(ledger, "a")
        _ = try await submit(ledger, "b", after: "a")
        _ = try await submit(ledger, "c", after: "b")
        await ledger.close()
        // As a crash right after the commit of the parent's end leaves it.
        let database = try DatabaseQueue(path: directory.path + "/ledger.sqlite")
        try await database.write { try $0.execute(sql: "UPDATE jobs SET state = 5 WHERE id = 'a'") }
        try database.close()
        let again = try directory.open()
        #expect(try await again.job("c") { $0.state.isTerminal }.failureReason == .dependencyFailed)
        #expect(try await again.allEvents().map(\.sequence) == Array(1...5))
        await again.close()
    }

    @Test func `a waiting job is cancelled at once, whatever it waits for`() async throws {
        let ledger = try directory.open()
        _ = try await submit(ledger, "a")
        _ = try await submit(ledger, "child", after: "a")
        _ = try await ledger.submit(
            JobSpec(id: "retried", retry: RetryPolicy(maxAttempts: 2, initialBackoff: .seconds(60))))
        #expect(try await ledger.run("retried", AttemptOutcome(failure: .exitCode)).state == .queued)
        for id in ["child", "retried"] {
            let job = try await ledger.cancel(id, reason: "no more", source: "rpc")
            #expect(job.state == .cancelled && job.openParents == 0)
            #expect(try await ledger.cancel(id, reason: "again", source: "rpc") == job)
        }
        try await ledger.run("a")
        #expect(ledger.cachedJob("child")?.state == .cancelled)
        await ledger.close()
    }

    @Test func `ten thousand children of one parent end in bounded batches while others are served`() async throws {
        let ledger = try directory.open()
        let largest = Mutex(0)
        let (failures, failed) = AsyncStream.makeStream(of: Int.self)
        ledger.observe { batch in
            largest.withLock { $0 = max($0, batch.changes.count) }
            failed.yield(batch.changes.count { $0.job.state == .failed })
        }
        _ = try await submit(ledger, "a")
        for start in stride(from: 0, to: 10_000, by: 1_000) {
            _ = await ledger.submit((start..<start + 1_000).map { JobSpec(id: "c\($0)", dependsOn: ["a"]) })
        }
        _ = try await ledger.cancel("a", reason: "", source: "rpc")
        _ = try await submit(ledger, "served")
        var ended = 0
        for await number in failures {
            ended += number
            if ended == 10_000 { break }
        }
        #expect(ledger.totals[.failed] == 10_000)
        await ledger.close()
        #expect(largest.withLock { $0 } <= LedgerWriter.maxBatch)
    }

    @Test func `a deadline ends a job that waits for its parents, for a retry or for its turn`() async throws {
        let ledger = try directory.open(now: { [clock] in clock.now })
        _ = try await submit(ledger, "a")
        let retry = RetryPolicy(maxAttempts: 3, initialBackoff: .seconds(5))
        for id in ["turn", "retry", "child"] {
            _ = try await ledger.submit(
                JobSpec(
                    id: id, deadline: .seconds(10), retry: retry, dependsOn: id == "child" ? ["a"] : []))
        }
        _ = try await ledger.submit(JobSpec(id: "in-time", deadline: .seconds(10)))
        _ = try await ledger.submit(JobSpec(id: "longer", deadline: .seconds(11)))
        try await ledger.run("in-time")
        clock.advance(by: .seconds(4))
        #expect(try await ledger.run("retry", AttemptOutcome(failure: .exitCode)).state == .queued)
        clock.advance(by: .seconds(6))
        ledger.nudge()
        for id in ["turn", "retry", "child"] {
            let job = try await ledger.job(id) { $0.state.isTerminal }
            #expect(job.state == .failed && job.failureReason == .timeout && job.error.contains("10 s"))
        }
        #expect(ledger.cachedJob("in-time")?.state == .succeeded && ledger.cachedJob("longer")?.state == .queued)
        await ledger.close()
    }

    @Test func `a deadline that passes while no server runs is kept at the next start`() async throws {
        var ledger = try directory.open(now: { [clock] in clock.now })
        for id in ["waiting", "running"] { _ = try await ledger.submit(JobSpec(id: id, deadline: .seconds(10))) }
        _ = try await ledger.start("running")
        await ledger.close()
        clock.advance(by: .seconds(60))
        ledger = try directory.open(now: { [clock] in clock.now })
        #expect(try await ledger.job("waiting") { $0.state.isTerminal }.failureReason == .timeout)
        #expect(try await ledger.job("running") { $0.isExpired }.state == .running)
        await ledger.close()
        // The mark is durable too.
        ledger = try directory.open(now: { [clock] in clock.now })
        #expect(ledger.cachedJob("running")?.isToStop == true)
        let end = try await ledger.finish("running", attempt: 1, AttemptOutcome(signal: 15, failure: .signal))
        #expect(end.state == .failed && end.failureReason == .timeout)
        await ledger.close()
    }

    @Test func `everything a submission asks for outlives a restart, and is compared`() async throws {
        let spec = JobSpec(
            id: "a", jobClass: .gpu, priority: -7, labels: ["k": "v"], timeout: .seconds(1), deadline: .seconds(99),
            retry: RetryPolicy(maxAttempts: 4, initialBackoff: .seconds(1), maxBackoff: .seconds(2), retryOn: [2]),
            resources: Resources(cpus: 1.5, memoryBytes: 1 << 40, gpus: 2, processes: 64))
        let first = try directory.open()
        _ = try await first.submit(spec)
        await first.close()
        let ledger = try directory.open()
        #expect(ledger.cachedJob("a")?.spec == spec)
        #expect(try await ledger.submit(spec).alreadyExisted)
        func refusal(_ change: (inout JobSpec) -> Void) async throws -> String {
            var other = spec
            change(&other)
            return try await failure { _ = try await ledger.submit(other) }.message
        }
        #expect(try await refusal { $0.deadline = nil }.contains("a different deadline;"))
        #expect(try await refusal { $0.resources.gpus = 1 }.contains("a different resources;"))
        #expect(try await refusal { $0.retry = .none }.contains("a different retry;"))
        #expect(try await refusal { $0.labels = [:] }.contains("a different labels;"))
        #expect(try await refusal { $0.timeout = nil }.contains("a different timeout;"))
        #expect(try await refusal { $0.jobClass = .cpuShort }.contains("a different job_class;"))
        #expect(try await refusal { $0.resources.cpus = .nan }.contains("resources.cpus"))
        #expect(try await refusal { $0.deadline = .zero }.contains("deadline of 0"))
        await ledger.close()
    }
}
