import Foundation
import Glibc
import Synchronization
import Testing

@testable import Orchestrator

/// Real workers: a few lines of Python that speak the protocol.
@Suite struct WorkerPoolTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    /// Does what the payload's "do" says. Its own pid is in every result, so that a test sees who did it.
    private static let program = """
        json, os, signal, struct, sys, time = map(__import__, "json os signal struct sys time".split())
        out = os.dup(1)
        os.dup2(2, 1)
        def say(message):
            data = json.dumps(message).encode()
            os.write(out, struct.pack(">I", len(data)) + data)
        def read(count):
            data = b""
            while len(data) < count:
                part = os.read(0, count - len(data))
                if not part: sys.exit(0)
                data += part
            return data
        say({"type": "hello", "protocol": 1, "pid": os.getpid(), "handler": "test", "max_frame_bytes": 4 << 20})
        kept = []
        while True:
            task = json.loads(read(struct.unpack(">I", read(4))[0]))
            what = task["payload"].get("do")
            print("doing", what, file=sys.stderr, flush=True)
            if what == "fail":
                say({"type": "result", "id": task["id"], "attempt": 1, "ok": False, "error": {"type": "ValueError", "message": "bad\\nluck"}})
                continue
            if what == "die": os.kill(os.getpid(), signal.SIGSEGV)
            if what == "leave": sys.exit(0)
            if what == "sleep":
                open("started", "w").close()
                time.sleep(300)
            if what == "babble": os.write(out, b"hello, world"); time.sleep(300)
            if what == "grow": kept.append(bytearray(64 << 20))
            if what == "hog":
                while True: kept.append(bytearray(1 << 20))
            say({"type": "result", "id": task["id"], "attempt": task["attempt"], "ok": True, "value": {"pid": os.getpid(), "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"), "payload": len(json.dumps(task["payload"]))}})
        """

    private func runner(
        _ rules: WorkerRules = WorkerRules(), command: [String]? = nil,
        _ more: (inout RunnerConfiguration) -> Void = { _ in }
    ) throws -> Runner {
        try scratch.runner {
            $0.handlers = Handlers(
                byName: [
                    "echo": Handler(
                        name: "echo", command: command ?? ["python3", "-u", "-c", Self.program], mode: .worker(rules))
                ], defaults: [.gpu: "echo"])
            more(&$0)
        }
    }

    private func job(_ what: String = "", id: String = UUID().uuidString, timeout: Duration = .seconds(60)) -> Job {
        scratch.job(#"{"handler": "echo", "do": "\#(what)"}"#, id: id, timeout: timeout)
    }

    /// The pid of the worker that did the job.
    private func done(_ result: Runner.RunResult) throws -> Int {
        let outcome = try #require(result.outcome)
        #expect(outcome.failure == nil, "\(outcome.error)")
        let result = try JSONSerialization.jsonObject(with: Data(outcome.result)) as? [String: Any]
        return try #require(result?["pid"] as? Int)
    }

    @Test func `one worker does one job after another`() async throws {
        let runner = try runner()
        let first = try done(await runner.run(job()))
        for _ in 0..<20 { #expect(try done(await runner.run(job())) == first) }
        #expect(runner.workers?.started.load(ordering: .relaxed) == 1)
    }

    @Test func `jobs at the same time have a worker each`() async throws {
        let runner = try runner()
        let pids = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<4 { group.addTask { try done(await runner.run(job())) } }
            return try await group.reduce(into: Set<Int>()) { $0.insert($1) }
        }
        #expect(pids.count > 1)
    }

    @Test func `a handler's error fails the job on one line, and the worker goes on`() async throws {
        let runner = try runner()
        let first = try done(await runner.run(job()))
        let failed = await runner.run(job("fail")).outcome
        #expect(failed?.error == "ValueError: bad luck")
        #expect(failed?.failure == .exitCode && failed?.exitCode == 1)
        let result = String(decoding: failed?.result ?? [], as: UTF8.self)
        #expect(result == #"{"error":{"type": "ValueError", "message": "bad\nluck"}}"#)
        #expect(try done(await runner.run(job())) == first)
    }

    @Test func `a worker that dies fails its job as a process would, and the next job has a new one`() async throws {
        let runner = try runner()
        let first = try done(await runner.run(job()))
        let died = await runner.run(job("die")).outcome
        #expect(died?.failure == .signal)
        #expect(died?.signal == SIGSEGV)
        #expect(died?.error == "the worker ended by SIGSEGV: doing die")
        let left = await runner.run(job("leave")).outcome
        #expect(left?.failure == .runnerError)
        #expect(try done(await runner.run(job())) != first)
    }

    @Test func `a job that takes too long is a timeout, and its worker is gone`() async throws {
        let runner = try runner()
        let first = try done(await runner.run(job()))
        let outcome = await runner.run(job("sleep", timeout: .milliseconds(300))).outcome
        #expect(outcome?.failure == .timeout)
        #expect(kill(pid_t(first), 0) != 0)
        #expect(try done(await runner.run(job())) != first)
    }

    @Test func `the time that a worker takes to start is not its job's`() async throws {
        let slow = "__import__('time').sleep(3)\n" + Self.program
        let runner = try runner(command: ["python3", "-u", "-c", slow])
        let first = try done(await runner.run(job(timeout: .milliseconds(2_900))))
        #expect(try done(await runner.run(job(timeout: .milliseconds(2_900)))) == first)
    }

    @Test func `a cancel ends the worker in the middle of its job`() async throws {
        let runner = try runner()
        let job = job("sleep")
        async let running = runner.run(job)
        let started = "\(scratch.path)/jobs/.workers/echo-1/work/started"
        try await eventually { WholeFile.exists(started) }
        runner.cancel(jobID: job.id, attempt: job.attempt)
        guard case .cancelled = await running else {
            Issue.record("it was not cancelled")
            return
        }
    }

    @Test func `a worker is replaced after so many jobs, and when it has grown`() async throws {
        var rules = WorkerRules()
        rules.mostTasks = 2
        let counted = try runner(rules)
        var pids: [Int] = []
        for _ in 0..<4 { pids.append(try done(await counted.run(job()))) }
        #expect(pids[0] == pids[1] && pids[1] != pids[2] && pids[2] == pids[3])

        rules.mostTasks = 1000
        rules.mostGrowth = 32 << 20
        let weighed = try runner(rules)
        let first = try done(await weighed.run(job()))
        #expect(try done(await weighed.run(job("grow"))) == first)
        #expect(try done(await weighed.run(job())) != first)
    }

    @Test func `a worker that is not needed is ended`() async throws {
        var rules = WorkerRules()
        rules.idleTimeout = .milliseconds(50)
        let runner = try runner(rules)
        let pid = pid_t(try done(await runner.run(job())))
        try await eventually { kill(pid, 0) != 0 }
    }

    @Test func `a worker that can't start says why, and others are not held up`() async throws {
        let broken = try runner(command: ["python3", "-c", "import no_such_module"])
        let outcome = await broken.run(job()).outcome
        #expect(outcome?.failure == .runnerError)
        #expect(
            outcome?.error.hasPrefix("the worker of handler \"echo\" could not start: exited with code 1: ") == true)
        #expect(outcome?.error.hasSuffix("ModuleNotFoundError: No module named 'no_such_module'") == true)
        #expect(await broken.run(scratch.job(#"{"command": ["true"]}"#, id: "other")) == .ended(AttemptOutcome()))

        let silent = try runner(command: ["no-such-program"])
        #expect(await silent.run(job()).outcome?.error.contains("no-such-program") == true)
    }

    @Test func `what is no message breaks the job, not the server`() async throws {
        let outcome = await (try runner()).run(job("babble")).outcome
        #expect(outcome?.failure == .runnerError)
        #expect(outcome?.error.hasPrefix("the worker broke the protocol") == true)
    }

    @Test func `memory is limited in a worker too`() async throws {
        let runner = try runner {
            $0.limits = [.cpuShort: ResourceLimits(memoryBytes: 200 << 20)]
        }
        #expect(await runner.run(job("hog")).outcome?.failure == .outOfMemory)
    }

    @Test func `a large payload gets there whole`() async throws {
        let runner = try runner()
        let job = scratch.job(
            #"{"handler": "echo", "data": "\#(String(repeating: "x", count: 900_000))"}"#, timeout: .seconds(60))
        _ = try done(await runner.run(job))
    }

    @Test func `what a worker writes to standard error is in its job's file`() async throws {
        let runner = try runner()
        let job = job("noise")
        _ = try done(await runner.run(job))
        let file = try runner.directory(jobID: job.id, attempt: 1).standardError
        #expect(try WholeFile.read(file, limit: 100) == Array("doing noise\n".utf8))
    }

    @Test func `after a restart a job that a worker had is known, or lost`() async throws {
        let first = try runner()
        let job = job()
        let outcome = await first.run(job).outcome
        let restarted = try runner()
        #expect(await restarted.reconcile(job) == .ended(try #require(outcome)))

        let directory = try first.directory(jobID: job.id, attempt: 1)
        unlink(directory.exit)
        guard case .ended(let lost) = await restarted.reconcile(job) else {
            Issue.record("it would run twice")
            return
        }
        #expect(lost.failure == .lost)
    }

    @Test func `a gpu job's worker has the job's device`() async throws {
        let runner = try runner { $0.gpus = GPUDevices(["GPU-7"]) }
        var job = scratch.job("{}", timeout: .seconds(60))
        job.spec.jobClass = .gpu
        let outcome = try #require(await runner.run(job).outcome)
        #expect(String(decoding: outcome.result, as: UTF8.self).contains("GPU-7"))
    }

    @Test func `closing leaves no worker`() async throws {
        let runner = try runner()
        let pid = pid_t(try done(await runner.run(job())))
        await runner.close()
        #expect(kill(pid, 0) != 0)
    }
}
