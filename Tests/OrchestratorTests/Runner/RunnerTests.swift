import Foundation
import Glibc
import Logging
import Testing

@testable import Orchestrator

@Suite struct RunnerTests {
    private let scratch: Scratch
    private let runner: Runner

    init() throws {
        scratch = try Scratch()
        runner = try scratch.runner()
    }

    private func isAlive(_ pid: pid_t) -> Bool { kill(pid, 0) == 0 }

    private func directory(_ job: Job) throws -> AttemptDirectory {
        try runner.directory(jobID: job.id, attempt: job.attempt)
    }

    private func standardOutput(_ job: Job) throws -> String {
        String(decoding: try WholeFile.read(try directory(job).standardOutput, limit: 1 << 20), as: UTF8.self)
    }

    /// The pid that a command's script wrote into a file of its working directory.
    private func pid(_ name: String, of job: Job) async throws -> pid_t {
        let path = try directory(job).work + "/" + name
        try await eventually { (try? WholeFile.read(path, limit: 32).last) == UInt8(ascii: "\n") }
        return try #require(pid_t(String(decoding: try WholeFile.read(path, limit: 32).dropLast(), as: UTF8.self)))
    }

    // MARK: - Ends

    @Test func `a command that exits with 0 has succeeded`() async throws {
        let result = await runner.run(scratch.job(#"{"command": ["true"]}"#))
        #expect(result == .ended(AttemptOutcome()))
    }

    @Test func `an exit code and the last words of standard error are told`() async throws {
        let outcome = await runner.run(scratch.job(shell: "echo one >&2; echo two >&2; exit 3")).outcome
        #expect(outcome == AttemptOutcome(exitCode: 3, failure: .exitCode, error: "exited with code 3: one | two"))
    }

    @Test func `a signal is told`() async throws {
        let outcome = await runner.run(scratch.job(shell: "kill -SEGV $$")).outcome
        #expect(outcome == AttemptOutcome(signal: SIGSEGV, failure: .signal, error: "ended by SIGSEGV"))
    }

    /// One after the other, as a busy machine's shell may not be ready before its time is over.
    private static let timeouts: [Duration] = [.milliseconds(300), .seconds(5), .seconds(30)]

    @Test func `a timeout ends the command`() async throws {
        let job = scratch.job(#"{"command": ["sleep", "60"]}"#, timeout: .milliseconds(50))
        let outcome = await runner.run(job).outcome
        #expect(outcome == AttemptOutcome(signal: SIGTERM, failure: .timeout, error: "timed out after 0.05 s"))
    }

    @Test func `a command that ignores SIGTERM is killed after the grace`() async throws {
        for (number, timeout) in Self.timeouts.enumerated() {
            let job = scratch.job(
                shell: "trap '' TERM; echo > trapped; while :; do sleep 1; done", id: "job-\(number)", timeout: timeout)
            let outcome = await runner.run(job).outcome
            #expect(outcome?.failure == .timeout)
            guard WholeFile.exists(try directory(job).work + "/trapped") else { continue }
            #expect(outcome?.signal == SIGKILL)
            return
        }
        Issue.record("the command never got ready")
    }

    @Test func `the older form's timeout counts when the job has none`() async throws {
        let job = scratch.job(#"{"execution": {"command": ["sleep", "60"], "timeout_seconds": 0.05}}"#)
        #expect(await runner.run(job).outcome?.failure == .timeout)
    }

    @Test func `a descendant that left for a session of its own is gone when the job has ended`() async throws {
        let job = scratch.job(
            shell: "setsid sh -c 'trap \"\" TERM HUP; echo $$ > far; sleep 300' & while [ ! -s far ]; do :; done")
        let outcome = await runner.run(job).outcome
        #expect(outcome == AttemptOutcome())
        #expect(!isAlive(try await pid("far", of: job)))
    }

    @Test func `descendants are gone after a timeout too`() async throws {
        for (number, timeout) in Self.timeouts.enumerated() {
            let job = scratch.job(
                shell: "setsid sh -c 'echo $$ > far; sleep 300' & wait", id: "job-\(number)", timeout: timeout)
            #expect(await runner.run(job).outcome?.failure == .timeout)
            let far = try? WholeFile.read(try directory(job).work + "/far", limit: 32)
            guard far?.last == UInt8(ascii: "\n") else { continue }
            #expect(!isAlive(try await pid("far", of: job)))
            return
        }
        Issue.record("the command never got ready")
    }

    @Test func `a cancelled command gets SIGTERM`() async throws {
        let runner = try scratch.runner(grace: .seconds(60))
        let job = scratch.job(shell: "trap 'echo bye; exit 5' TERM; echo $$ > started; while :; do sleep 0.01; done")
        async let running = runner.run(job)
        _ = try await pid("started", of: job)
        runner.cancel(jobID: job.id, attempt: job.attempt)
        let outcome = AttemptOutcome(exitCode: 5, failure: .runnerError, error: "the attempt was told to stop")
        #expect(await running == .cancelled(outcome))
        #expect(try standardOutput(job) == "bye\n")
    }

    @Test func `a cancel from before the start keeps the command from running`() async throws {
        let job = scratch.job(shell: "echo > started")
        guard case .cancelled = await runner.run(job, isCancelled: { true }) else {
            Issue.record("it ran")
            return
        }
        #expect(!WholeFile.exists(try directory(job).path))
    }

    @Test func `a program that does not exist names the PATH`() async throws {
        let outcome = await runner.run(scratch.job(#"{"command": ["no-such-program"]}"#)).outcome
        #expect(outcome?.failure == .runnerError)
        #expect(outcome?.error == "command \"no-such-program\": no such file in PATH /usr/bin:/bin")
    }

    @Test func `a working directory that does not exist is named`() async throws {
        let outcome = await runner.run(scratch.job(#"{"command": ["true"], "cwd": "/no/such"}"#)).outcome
        #expect(outcome?.error == "working directory \"/no/such\" can't be entered: No such file or directory")
    }

    // MARK: - What a command sees

    @Test func `the environment is clean`() async throws {
        let job = scratch.job(#"{"command": ["env"], "env": {"MINE": "a b"}}"#)
        _ = await runner.run(job)
        let directory = try directory(job)
        let lines = Set(try standardOutput(job).split(separator: "\n").map(String.init))
        #expect(
            lines == [
                "PATH=/usr/bin:/bin", "HOME=/root", "MINE=a b", "DSPY_JOB_ID=job-1", "DSPY_JOB_CLASS=cpu_short",
                "DSPY_ATTEMPT=1", "DSPY_PAYLOAD_PATH=\(directory.payload)", "DSPY_RESULT_PATH=\(directory.result)",
            ])
    }

    @Test func `the limit of open files is the one that jobs are given, not the server's`() async throws {
        let job = scratch.job(shell: "ulimit -Sn")
        _ = try await scratch.runner(openFiles: 77).run(job)
        #expect(try standardOutput(job) == "77\n")
    }

    @Test func `the payload is in its file`() async throws {
        let job = scratch.job(#"{"command": ["sh", "-c", "cat $DSPY_PAYLOAD_PATH"], "n": 12345678901234567890}"#)
        _ = await runner.run(job)
        #expect(Array(try standardOutput(job).utf8) == job.spec.payload)
    }

    @Test func `the working directory is the payload's, or one of the attempt's own`() async throws {
        let own = scratch.job(#"{"command": ["pwd"]}"#, id: "own")
        let given = scratch.job(#"{"command": ["pwd"], "cwd": "/usr"}"#, id: "given")
        _ = await runner.run(own)
        _ = await runner.run(given)
        #expect(try standardOutput(own) == directory(own).work + "\n")
        #expect(try standardOutput(given) == "/usr\n")
    }

    @Test func `standard input is the payload's, or empty`() async throws {
        let given = scratch.job(#"{"command": ["cat"], "stdin": "line\nlast"}"#, id: "given")
        let none = scratch.job(#"{"command": ["cat"]}"#, id: "none")
        _ = await runner.run(given)
        _ = await runner.run(none)
        #expect(try standardOutput(given) == "line\nlast")
        #expect(try standardOutput(none) == "")
    }

    @Test func `a command has three descriptors and default signals`() async throws {
        // Executed itself, not by a shell, which would have pipes and blocked signals of its own.
        let list = scratch.job(#"{"command": ["ls", "/proc/self/fd"]}"#, id: "list")
        let signals = scratch.job(#"{"command": ["grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"]}"#, id: "signals")
        _ = await runner.run(list)
        _ = await runner.run(signals)
        // The fourth is the directory that ls reads.
        #expect(try standardOutput(list) == "0\n1\n2\n3\n")
        let words = try standardOutput(signals).split(whereSeparator: \.isWhitespace)
        try #require(words.count == 4)
        #expect(words[1] == "0000000000000000")
        // Of the C library's own two signals, 32 and 33, posix_spawn leaves both ignored in every process it starts.
        #expect(UInt64(words[3], radix: 16).map { $0 & ~0x1_8000_0000 } == 0)
    }

    // MARK: - Output and results

    @Test func `output beyond the cap is dropped, and a result after it is found all the same`() async throws {
        let runner = try scratch.runner(outputCap: 1000)
        let job = scratch.job(shell: "seq 1000000; echo '__DSPY_RESULT__:{\"n\": 7}'")
        let outcome = await runner.run(job).outcome
        #expect(outcome == AttemptOutcome(result: Array("{\"n\": 7}".utf8)))
        #expect(try standardOutput(job).utf8.count == 1000)
        let record = try #require(ExitRecord(parsing: try WholeFile.read(try directory(job).exit, limit: 4096)))
        #expect(record.outputTruncated)
    }

    @Test func `a result line is found across the cap`() async throws {
        let runner = try scratch.runner(outputCap: 30)
        let job = scratch.job(shell: "echo 123456789; echo '__DSPY_RESULT__:{\"n\": 12345}'")
        #expect(await runner.run(job).outcome == AttemptOutcome(result: Array("{\"n\": 12345}".utf8)))
    }

    @Test func `a result file comes before a marker line`() async throws {
        let outcome = await runner.run(
            scratch.job(shell: "echo '__DSPY_RESULT__:1'; echo '{\"a\": [1]}' > $DSPY_RESULT_PATH")
        ).outcome
        #expect(outcome == AttemptOutcome(result: Array("{\"a\": [1]}".utf8)))
    }

    @Test func `a result that is not JSON fails the attempt and says so`() async throws {
        let outcome = await runner.run(scratch.job(shell: "echo '{' > $DSPY_RESULT_PATH")).outcome
        #expect(outcome?.failure == .runnerError)
        #expect(
            outcome?.error.hasPrefix("exited with code 0, but the result file ($DSPY_RESULT_PATH) is not valid") == true
        )
    }

    @Test func `a result that is too large fails the attempt and says so`() async throws {
        let outcome = await runner.run(
            scratch.job(shell: "head -c 2000000 /dev/zero | tr '\\0' 1 > $DSPY_RESULT_PATH")
        ).outcome
        #expect(outcome?.failure == .runnerError)
        #expect(outcome?.error.contains("larger than 1048576 bytes") == true)
    }

    @Test func `a result that is a FIFO hangs nothing`() async throws {
        let outcome = await runner.run(scratch.job(shell: "mkfifo $DSPY_RESULT_PATH")).outcome
        #expect(outcome?.failure == .runnerError)
    }

    // MARK: - After a restart

    @Test func `an attempt that still runs is adopted, awaited and can be cancelled`() async throws {
        let first = scratch.job(shell: "echo $$ > started; while [ ! -e go ]; do sleep 0.01; done; exit 4", id: "first")
        let second = scratch.job(shell: "echo $$ > started; sleep 300", id: "second")
        // The runner that is here no longer follows them, as after a crash, but their supervisors know nothing of it.
        let before = Task { [runner] in
            async let one = runner.run(first)
            async let other = runner.run(second)
            _ = await (one, other)
        }
        _ = try await pid("started", of: first)
        _ = try await pid("started", of: second)

        let restarted = try scratch.runner()
        async let firstEnd = restarted.reconcile(first)
        async let secondEnd = restarted.reconcile(second)
        try WholeFile.write([], to: try directory(first).work + "/go")
        #expect(await firstEnd == .ended(AttemptOutcome(exitCode: 4, failure: .exitCode, error: "exited with code 4")))

        let canceller = Task {
            while !Task.isCancelled {
                restarted.cancel(jobID: "second", attempt: 1)
                await Task.yield()
            }
        }
        guard case .cancelled(let outcome) = await secondEnd else {
            Issue.record("the second was not followed to its end")
            return
        }
        canceller.cancel()
        #expect(outcome.signal == SIGTERM)
        await before.value
    }

    @Test func `an attempt that ended meanwhile has the outcome it had`() async throws {
        let job = scratch.job(shell: "echo '__DSPY_RESULT__:5'")
        let outcome = try #require(await runner.run(job).outcome)
        #expect(try await scratch.runner().reconcile(job) == .ended(outcome))
    }

    @Test func `an attempt without a trace never started`() async throws {
        #expect(await runner.reconcile(scratch.job(#"{"command": ["true"]}"#)) == .neverStarted)
    }

    @Test func `an attempt without a trace from before the machine started is lost`() async throws {
        var job = scratch.job(#"{"command": ["true"]}"#)
        job.startedAt = Timestamp(nanoseconds: 1)
        guard case .ended(let outcome) = await runner.reconcile(job) else {
            Issue.record("it would run twice")
            return
        }
        #expect(outcome.failure == .lost)
    }

    @Test func `an attempt whose supervisor died without a record is lost`() async throws {
        let job = scratch.job(shell: "echo $$ > started; sleep 300")
        async let running = runner.run(job)
        let command = try await pid("started", of: job)
        let text = try WholeFile.read(try directory(job).pid, limit: 64)
        kill(try #require(ProcessIdentity(parsing: text)).pid, SIGKILL)
        #expect(await running.outcome?.failure == .lost)
        guard case .ended(let outcome) = await runner.reconcile(job) else {
            Issue.record("it would run twice")
            return
        }
        #expect(outcome.failure == .lost)
        #expect(outcome.error.hasPrefix("the runner of attempt 1 died without a record"))
        // The command does not go on without anybody watching it.
        try await eventually { !isAlive(command) }
    }

    @Test func `a start after one that came to nothing sees no trace of it`() async throws {
        let job = scratch.job(shell: "exit 6")
        let directory = try directory(job)
        for ancestor in [scratch.path + "/jobs"] + directory.ancestors { try WholeFile.makeDirectory(ancestor) }
        try WholeFile.write(Array("exit_code=0\nend=1\n".utf8), to: directory.exit)
        try WholeFile.write(Array("7".utf8), to: directory.result)
        #expect(
            await runner.run(job).outcome
                == AttemptOutcome(exitCode: 6, failure: .exitCode, error: "exited with code 6"))
    }

    // MARK: - The machine

    @Test func `500 commands leave no descriptor and no zombie behind`() async throws {
        _ = await runner.run(scratch.job(#"{"command": ["true"]}"#, id: "first"))
        let before = try WholeFile.names(in: "/proc/self/fd").count
        await withTaskGroup(of: Runner.RunResult.self) { group in
            for index in 0..<500 {
                if index >= 8 { #expect(await group.next() == .ended(AttemptOutcome())) }
                group.addTask { [runner, scratch] in
                    await runner.run(scratch.job(#"{"command": ["true"]}"#, id: "job-\(index)"))
                }
            }
            for await result in group { #expect(result == .ended(AttemptOutcome())) }
        }
        // Other tests share this process, so what they have open passes; 500 would not.
        try await eventually { try WholeFile.names(in: "/proc/self/fd").count <= before + 20 }
        let own = getpid()
        try await eventually {
            try WholeFile.names(in: "/proc").compactMap { pid_t($0) }.count { pid in
                guard let stat = try? WholeFile.read("/proc/\(pid)/stat", limit: 1024) else { return false }
                let fields =
                    String(decoding: stat, as: UTF8.self).split(separator: ")").last?.split(separator: " ") ?? []
                return fields.count > 1 && fields[0] == "Z" && fields[1] == "\(own)"
            } == 0
        }
    }

    @Test func `a missing supervisor is told at the start`() throws {
        let error = #expect(throws: OrchestratorError.self) {
            try Runner(
                configuration: RunnerConfiguration(jobsDirectory: scratch.path, supervisorPath: "/no/supervisor"),
                serverEnvironment: [:], logger: .init(label: "test"))
        }
        #expect(error?.message.contains("\"/no/supervisor\"") == true)
    }

    @Test func `ids that could leave the directory are refused`() throws {
        for id in ["", "..", ".a", "-a", "a/b", "a b", "a\n", "é"] {
            #expect(throws: OrchestratorError.self) { try runner.directory(jobID: id, attempt: 1) }
        }
    }
}
