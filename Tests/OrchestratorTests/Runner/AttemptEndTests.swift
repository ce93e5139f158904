import Glibc
import Testing

@testable import Orchestrator

@Suite struct AttemptEndTests {
    private func outcome(
        _ record: ExitRecord, result: AttemptResult = .none, errors: String = "", arguments: [String] = ["foo"],
        limits: ResourceLimits = .none
    ) -> AttemptOutcome? {
        AttemptEnd(
            record: record, result: result, errorTail: Array(errors.utf8), command: JobCommand(arguments: arguments),
            timeout: .seconds(5), path: "/usr/bin:/bin", limits: limits
        ).outcome
    }

    @Test func `exit 0 is success with its result`() {
        let outcome = outcome(ExitRecord(end: .exited(code: 0)), result: .json([0x31]))
        #expect(outcome == AttemptOutcome(result: [0x31]))
    }

    @Test func `another exit code fails with the last words of standard error`() {
        let outcome = outcome(ExitRecord(end: .exited(code: 3)), errors: "first\n  it\tbroke \r\n\n  \n")
        #expect(
            outcome == AttemptOutcome(exitCode: 3, failure: .exitCode, error: "exited with code 3: first | it broke"))
    }

    @Test func `last words are at most 300 characters`() {
        let outcome = outcome(ExitRecord(end: .exited(code: 1)), errors: String(repeating: "é", count: 400))
        #expect(outcome?.error == "exited with code 1: " + String(repeating: "é", count: 300))
    }

    @Test func `the last three lines are told, as many as fit`() {
        let many = outcome(ExitRecord(end: .exited(code: 1)), errors: "1\n2\n3\n4\n5\n")
        #expect(many?.error == "exited with code 1: 3 | 4 | 5")
        let long = outcome(
            ExitRecord(end: .exited(code: 1)), errors: String(repeating: "x", count: 300) + "\nValueError: y\n")
        #expect(long?.error == "exited with code 1: ValueError: y")
    }

    @Test func `out of memory is told from the signal that it came with`() {
        var record = ExitRecord(end: .signalled(SIGKILL))
        record.outOfMemory = true
        let killed = outcome(record, limits: ResourceLimits(memoryBytes: 1024))
        #expect(killed?.failure == .outOfMemory)
        #expect(killed?.signal == SIGKILL)
        #expect(killed?.error == "ran out of memory: more than its limit of 1024 bytes")
        // A shell that reports what became of its child.
        record.end = .exited(code: 137)
        #expect(outcome(record)?.failure == .outOfMemory)
        // It went on without what was killed, and came to a good end.
        record.end = .exited(code: 0)
        #expect(outcome(record) == AttemptOutcome())
        record.timedOut = true
        record.end = .signalled(SIGKILL)
        #expect(outcome(record)?.failure == .timeout)
    }

    @Test func `a signal is named`() {
        let outcome = outcome(ExitRecord(end: .signalled(SIGSEGV)))
        #expect(outcome == AttemptOutcome(signal: 11, failure: .signal, error: "ended by SIGSEGV"))
    }

    @Test func `a timeout says how long`() {
        let outcome = outcome(ExitRecord(end: .signalled(SIGKILL), timedOut: true))
        #expect(outcome == AttemptOutcome(signal: 9, failure: .timeout, error: "timed out after 5 s"))
    }

    @Test func `a missing program names the PATH, and is not retried as a shortage`() {
        let outcome = outcome(ExitRecord(end: .notStarted(step: "exec", errno: ENOENT)))
        #expect(
            outcome
                == AttemptOutcome(
                    failure: .runnerError, error: "command \"foo\": no such file in PATH /usr/bin:/bin"))
    }

    @Test func `a machine short of processes is no outcome`() {
        #expect(outcome(ExitRecord(end: .notStarted(step: "fork", errno: EAGAIN))) == nil)
    }

    @Test func `a result that can't be kept fails a success, and only that`() {
        #expect(outcome(ExitRecord(end: .exited(code: 0)), result: .unusable("x"))?.failure == .runnerError)
        #expect(outcome(ExitRecord(end: .exited(code: 1)), result: .unusable("x"))?.failure == .exitCode)
    }

    @Test func `a record cut short is none`() {
        let whole = "exit_code=0\ntimed_out=1\nend=1\n"
        #expect(ExitRecord(parsing: Array(whole.utf8))?.timedOut == true)
        #expect(ExitRecord(parsing: Array(whole.dropLast(7).utf8)) == nil)
        #expect(ExitRecord(parsing: []) == nil)
        #expect(ExitRecord(parsing: Array("end=1\n".utf8)) == nil)
    }
}

@Suite struct AttemptResultTests {
    private func output(_ text: String, isWhole: Bool = true) -> AttemptResult {
        .output(tail: Array(text.utf8), isWhole: isWhole, cap: 20)
    }

    @Test func `the last marker line wins`() {
        let text = "a\n__DSPY_RESULT__:1\nb\n__DSPY_RESULT__: {\"a\": 2}\r\nx __DSPY_RESULT__:3\n"
        #expect(output(text) == .json(Array("{\"a\": 2}".utf8)))
    }

    @Test func `the first line counts only when it is the first`() {
        #expect(output("__DSPY_RESULT__:1") == .json([0x31]))
        #expect(output("__DSPY_RESULT__:1", isWhole: false) == .none)
    }

    @Test func `no marker is no result`() {
        #expect(output("") == .none)
        #expect(output("a\nb\n") == .none)
    }

    @Test func `invalid and oversized results say so`() {
        guard case .unusable = output("__DSPY_RESULT__:{") else {
            Issue.record("accepted invalid JSON")
            return
        }
        guard case .unusable = AttemptResult.file(Array("\"123456789012345678901\"".utf8), cap: 20) else {
            Issue.record("accepted too much")
            return
        }
        #expect(AttemptResult.file([0x0a], cap: 20) == .none)
    }
}
