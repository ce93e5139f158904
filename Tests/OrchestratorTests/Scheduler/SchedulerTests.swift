import Foundation
import Glibc
import Logging
import Synchronization
import Testing

@testable import Orchestrator

/// Everything but the network: a ledger, a runner, a scheduler and a file queue on one directory.
private final class Server: Sendable {
    let ledger: Ledger
    let runner: Runner
    let scheduler: Scheduler
    let files: FileQueue
    private let tasks: [Task<Void, Never>]

    init(
        _ scratch: Scratch, limits: [JobClass: Int] = [.cpuShort: 4, .cpuLong: 2, .gpu: 1],
        adaptive: [JobClass: ConcurrencyRange] = [:]
    ) throws {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        ledger = try Ledger.open(
            .init(directory: scratch.path + "/data"), encoders: .init(event: { _ in [] }, job: { _ in [] }),
            logger: logger)
        runner = try scratch.runner()
        scheduler = Scheduler(
            limits: ConcurrencyLimits(byClass: limits, adaptive: adaptive), ledger: ledger, runner: runner,
            logger: logger)
        scheduler.pressure.withLock { $0 = { MachinePressure() } }
        files = FileQueue(
            configuration: FileQueueConfiguration(
                directory: scratch.path + "/queue", ownerFile: scratch.path + "/queue-owner",
                settleTime: .milliseconds(100)),
            ledger: ledger, logger: logger)
        tasks = [
            Task { [scheduler] in await scheduler.run() },
            Task { [files] in
                do { try await files.run() } catch { Issue.record(error) }
            },
        ]
    }

    func stop(grace: Duration = .zero) async {
        for task in tasks { task.cancel() }
        await scheduler.drain(grace: grace)
        for task in tasks { await task.value }
        await files.finish()
        await ledger.close()
    }

    /// As far as a process can die within itself: nobody follows the attempts any more, and nothing more is recorded.
    func crash() async {
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
        await ledger.close()
    }

    func submit(shell script: String, id: String, _ change: (inout JobSpec) -> Void = { _ in }) async throws {
        var spec = JobSpec(id: id, payload: Array("{\"command\": [\"sh\", \"-c\", \(script.asJSON)]}".utf8))
        change(&spec)
        _ = try await ledger.submit(spec)
    }

    func ended(_ id: String) async throws -> Job {
        try await eventually { ledger.cachedJob(id)?.state.isTerminal == true }
        return try await ledger.job(id)
    }
}

@Suite struct SchedulerTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    private func serving(
        limits: [JobClass: Int] = [.cpuShort: 4, .cpuLong: 2, .gpu: 1],
        adaptive: [JobClass: ConcurrencyRange] = [:], _ body: (Server) async throws -> Void
    ) async throws {
        let server = try Server(scratch, limits: limits, adaptive: adaptive)
        do {
            try await body(server)
        } catch {
            await server.stop()
            throw error
        }
        await server.stop()
    }

    /// What a job's script writes to as soon as it runs.
    private func hasBegun(_ name: String) -> Bool { WholeFile.exists(scratch.path + "/" + name) }

    private func begin(_ name: String) -> String { "echo > \(scratch.path)/\(name)" }

    @Test func `a job runs, and its end and result are known`() async throws {
        try await serving { server in
            try await server.submit(shell: "echo '__DSPY_RESULT__:{\"a\": 1}'", id: "good")
            try await server.submit(shell: "echo no >&2; exit 2", id: "bad")
            let good = try await server.ended("good")
            let bad = try await server.ended("bad")
            #expect(good.state == .succeeded)
            #expect(good.result == Array("{\"a\": 1}".utf8))
            #expect(bad.state == .failed)
            #expect(bad.error == "exited with code 2: no")
        }
    }

    @Test func `a failed job is retried, and its attempts are counted for the command`() async throws {
        try await serving { server in
            try await server.submit(shell: "test $DSPY_ATTEMPT = 3", id: "job") {
                $0.retry = RetryPolicy(maxAttempts: 3, initialBackoff: .milliseconds(1))
            }
            let job = try await server.ended("job")
            #expect(job.state == .succeeded)
            #expect(job.attempt == 3)
        }
    }

    @Test func `a running job is cancelled, and a waiting one never starts`() async throws {
        try await serving(limits: [.cpuShort: 1]) { server in
            try await server.submit(shell: "\(begin("running")); sleep 300", id: "running")
            try await server.submit(shell: begin("waiting"), id: "waiting")
            try await eventually { hasBegun("running") }
            _ = try await server.ledger.cancel("waiting", reason: "no", source: "rpc")
            _ = try await server.ledger.cancel("running", reason: "enough", source: "rpc")
            let job = try await server.ended("running")
            #expect(job.state == .cancelled)
            #expect(job.error == "enough")
            #expect(job.signal == SIGTERM)
            try await server.submit(shell: "true", id: "last")
            _ = try await server.ended("last")
            #expect(!hasBegun("waiting"))
        }
    }

    @Test func `a job starts when its parents have succeeded, and not at all when one has failed`() async throws {
        try await serving { server in
            try await server.submit(
                shell: "\(begin("first")); while ! test -e \(scratch.path)/go; do sleep 0.01; done", id: "first")
            try await server.submit(shell: "false", id: "bad")
            try await server.submit(shell: "test -e \(scratch.path)/go", id: "second") {
                $0.dependsOn = ["first"]
                $0.priority = 9
            }
            try await server.submit(shell: begin("never"), id: "third") { $0.dependsOn = ["second", "bad"] }
            #expect(try await server.ended("third").failureReason == .dependencyFailed)
            try await eventually { hasBegun("first") }
            #expect(server.ledger.cachedJob("second")?.state == .queued)
            try WholeFile.write([], to: scratch.path + "/go")
            #expect(try await server.ended("second").state == .succeeded)
            #expect(!hasBegun("never"))
        }
    }

    @Test func `a job that outruns its deadline is ended, with what it would have left to retry`() async throws {
        try await serving { server in
            // Once more with a longer one, should a busy machine not have started it by then.
            for seconds in [1, 5, 25] {
                let id = "late-\(seconds)"
                try await server.submit(shell: "\(begin(id)); sleep 300", id: id) {
                    $0.deadline = .seconds(seconds)
                    $0.retry = RetryPolicy(maxAttempts: 5, initialBackoff: .zero)
                }
                let job = try await server.ended(id)
                #expect(job.state == .failed && job.failureReason == .timeout)
                guard hasBegun(id) else { continue }
                #expect(job.attempt == 1)
                #expect(job.error == "its deadline of \(seconds) s passed while attempt 1 ran")
                return
            }
            Issue.record("no job was started within its deadline")
        }
    }

    @Test func `a class never runs more than its limit`() async throws {
        let script = """
            mkdir \(scratch.path)/only || exit 9
            sleep 0.01
            rmdir \(scratch.path)/only
            """
        try await serving(limits: [.cpuShort: 8, .gpu: 1]) { server in
            for index in 0..<20 { try await server.submit(shell: script, id: "job-\(index)") { $0.jobClass = .gpu } }
            for index in 0..<20 { #expect(try await server.ended("job-\(index)").state == .succeeded) }
            #expect(server.scheduler.loads[.gpu] == Scheduler.ClassLoad(limit: 1, inFlight: 0, waiting: 0))
        }
    }

    @Test func `an adaptive class gets places while jobs wait, and loses them when memory is short`() async throws {
        let metrics = OrchestratorMetrics()
        let script = "until test -e \(scratch.path)/go; do sleep 0.05; done"
        try await serving(adaptive: [.cpuShort: ConcurrencyRange(floor: 1, ceiling: 4)]) { server in
            metrics.follow(server.ledger)
            metrics.follow(server.scheduler)
            func gauge(_ name: String) -> MetricValue? {
                metrics.registry.snapshot().first { $0.name == name }?.samples
                    .first { $0.labels == [MetricLabel("class", "cpu_short")] }?.value
            }
            #expect(gauge("orchestrator_concurrency_limit") == .number(1))
            for index in 0..<6 { try await server.submit(shell: script, id: "job-\(index)") }
            try await eventually { gauge("orchestrator_inflight_tasks") == .number(4) }
            #expect(gauge("orchestrator_concurrency_limit") == .number(4))
            server.scheduler.pressure.withLock { $0 = { MachinePressure(memory: 0.5) } }
            try await eventually { gauge("orchestrator_concurrency_limit") == .number(1) }
            // What runs goes on.
            #expect(gauge("orchestrator_inflight_tasks") == .number(4))
            try WholeFile.write([], to: scratch.path + "/go")
            for index in 0..<6 { #expect(try await server.ended("job-\(index)").state == .succeeded) }
        }
    }

    @Test func `200 jobs of which some fail, hang and crash end each for itself`() async throws {
        try await serving { server in
            let scripts = ["exit 0", "exit 1", "kill -9 $$", "sleep 300"]
            for index in 0..<200 {
                try await server.submit(shell: scripts[index % 40 == 3 ? 3 : index % 3], id: "job-\(index)") {
                    if index % 40 == 3 { $0.timeout = .milliseconds(50) }
                }
            }
            for index in 0..<200 {
                let job = try await server.ended("job-\(index)")
                let expected: FailureReason? = index % 40 == 3 ? .timeout : [nil, .exitCode, .signal][index % 3]
                #expect(job.failureReason == expected)
                #expect(job.attempt == 1)
            }
        }
    }

    @Test func `a drain waits for what runs, and starts nothing more`() async throws {
        let server = try Server(scratch, limits: [.cpuShort: 1])
        try await server.submit(shell: "\(begin("begun")); sleep 0.2", id: "running")
        try await server.submit(shell: begin("other"), id: "waiting")
        try await eventually { hasBegun("begun") }
        await server.scheduler.drain(grace: .seconds(60))
        #expect(server.ledger.cachedJob("running")?.state == .succeeded)
        #expect(server.ledger.cachedJob("waiting")?.state == .queued)
        #expect(!hasBegun("other"))
        await server.stop()
    }

    @Test func `a drain's grace ends, and what still runs is recorded as stopped`() async throws {
        let server = try Server(scratch)
        try await server.submit(shell: "\(begin("a")); sleep 300", id: "a")
        try await server.submit(shell: "\(begin("b")); sleep 300", id: "b") {
            $0.retry = RetryPolicy(maxAttempts: 2)
        }
        try await eventually { hasBegun("a") && hasBegun("b") }
        await server.scheduler.drain(grace: .milliseconds(10))
        let job = try #require(server.ledger.cachedJob("a"))
        #expect(job.state == .failed)
        #expect(job.failureReason == .runnerError)
        #expect(job.error == "stopped with the server after a grace of 0.01 s")
        #expect(server.ledger.cachedJob("b")?.state == .queued)
        await server.stop()
    }

    @Test func `jobs that ran when the server died are followed by the next one`() async throws {
        let first = try Server(scratch)
        try await first.submit(shell: "\(begin("a")); while [ ! -e \(scratch.path)/go ]; do sleep 0.01; done", id: "a")
        try await first.submit(shell: "\(begin("b")); sleep 300", id: "b")
        try await eventually { hasBegun("a") && hasBegun("b") }
        await first.crash()

        try await serving { second in
            try await eventually { second.scheduler.loads[.cpuShort]?.inFlight == 2 }
            _ = try await second.ledger.cancel("b", reason: "enough", source: "rpc")
            #expect(try await second.ended("b").state == .cancelled)
            try WholeFile.write([], to: scratch.path + "/go")
            let job = try await second.ended("a")
            #expect(job.state == .succeeded)
            #expect(job.attempt == 1)
        }
        await first.scheduler.drain(grace: .zero)
    }

    @Test func `a job recorded as running that never started is started`() async throws {
        let ledger = try Ledger.open(
            .init(directory: scratch.path + "/data"), encoders: .init(event: { _ in [] }, job: { _ in [] }),
            logger: Logger(label: "test"))
        _ = try await ledger.submit(JobSpec(id: "job", payload: Array(#"{"command": ["true"]}"#.utf8)))
        _ = try await ledger.start("job")
        await ledger.close()
        try await serving { server in
            let job = try await server.ended("job")
            #expect(job.state == .succeeded)
            #expect(job.attempt == 2)
        }
    }

    // MARK: - Files

    private func done(_ id: String) async throws -> [String: Any] {
        let path = "\(scratch.path)/queue/done/\(id).json"
        try await eventually { WholeFile.exists(path) }
        let object = try JSONSerialization.jsonObject(with: Data(try WholeFile.read(path, limit: 1 << 20)))
        return try #require(object as? [String: Any])
    }

    private func drop(_ name: String, _ text: String) throws {
        try WholeFile.write(Array(text.utf8), to: "\(scratch.path)/queue/pending/\(name)")
    }

    @Test func `a dropped file runs and leaves its done file with the contract's keys`() async throws {
        try await serving { server in
            try await eventually { WholeFile.exists(scratch.path + "/queue/failed") }
            try drop(
                "a.json",
                #"{"id": "task-1", "payload": {"command": ["sh", "-c", "echo '__DSPY_RESULT__:[1]'"], "n": 1}}"#)
            let good = try await done("task-1")
            #expect(
                Set(good.keys) == [
                    "id", "class", "payload", "status", "attempt", "submitted_at", "started_at", "completed_at",
                    "duration_ms", "exit_code", "signal", "error", "result",
                ])
            #expect(good["id"] as? String == "task-1")
            #expect(good["class"] as? String == "cpu_short")
            #expect(good["status"] as? String == "completed")
            #expect((good["payload"] as? [String: Any])?["n"] as? Int == 1)
            #expect(good["result"] as? [Int] == [1])
            #expect(good["error"] is NSNull)
            #expect(good["exit_code"] as? Int == 0)
            let time = try #require(good["completed_at"] as? String)
            #expect(time.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,}Z/) != nil)

            try drop("b.json", #"{"payload": {"command": ["sh", "-c", "exit 4"]}}"#)
            let bad = try await done("b")
            #expect(bad["status"] as? String == "failed")
            #expect(bad["exit_code"] as? Int == 4)
            #expect(bad["error"] as? String == "exited with code 4")

            try await eventually { try claimedTasks(in: scratch.path + "/queue") == [] }
            let counts = server.files.counts
            #expect(counts.done == 2 && counts.completed == 1 && counts.failed == 1 && counts.pending == 0)
        }
    }

    @Test func `a job by RPC leaves no done file`() async throws {
        try await serving { server in
            try await server.submit(shell: "true", id: "rpc")
            _ = try await server.ended("rpc")
            try await eventually { server.ledger.cursor("done") == server.ledger.events.lastSequence }
            #expect(try WholeFile.names(in: scratch.path + "/queue/done") == [])
        }
    }

    @Test func `a file for a job that has ended already is answered too`() async throws {
        try await serving { server in
            let payload = #"{"command":["true"]}"#
            _ = try await server.ledger.submit(JobSpec(id: "a", payload: Array(payload.utf8)))
            _ = try await server.ended("a")
            try await eventually { server.ledger.cursor("done") == server.ledger.events.lastSequence }
            try drop("a.json", #"{"payload": \#(payload)}"#)
            #expect(try await done("a")["status"] as? String == "completed")
            try await eventually { try claimedTasks(in: scratch.path + "/queue") == [] }
        }
    }

    @Test func `a job that ended as the server died has its done file after the next start`() async throws {
        let first = try Server(scratch)
        try await eventually { WholeFile.exists(scratch.path + "/queue/failed") }
        try drop("a.json", #"{"payload": {"command": ["true"]}}"#)
        _ = try await done("a")
        await first.crash()
        // As if the crash had come before the file, and before the cursor was saved.
        unlink("\(scratch.path)/queue/done/a.json")
        try WholeFile.write(
            Array(#"{"payload": {"command": ["true"]}}"#.utf8), to: "\(scratch.path)/queue/claimed/a.json")
        try await serving { _ in
            #expect(try await done("a")["attempt"] as? Int == 1)
            try await eventually { try claimedTasks(in: scratch.path + "/queue") == [] }
        }
    }

    @Test func `100 files end in 100 done files`() async throws {
        try await serving(limits: [.cpuShort: 8]) { server in
            try await eventually { WholeFile.exists(scratch.path + "/queue/failed") }
            for index in 0..<100 { try drop("task-\(index).json", #"{"payload": {"command": ["true"]}}"#) }
            try await eventually { server.files.counts.completed == 100 }
            try await eventually { try WholeFile.names(in: scratch.path + "/queue/done").count == 100 }
            try await eventually { try claimedTasks(in: scratch.path + "/queue") == [] }
        }
    }
}
