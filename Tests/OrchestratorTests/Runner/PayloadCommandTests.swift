import Testing

@testable import Orchestrator

@Suite struct PayloadCommandTests {
    private func command(_ payload: String, _ jobClass: JobClass = .cpuShort) throws(OrchestratorError) -> JobCommand {
        try PayloadCommand.command(of: JobSpec(id: "a", jobClass: jobClass, payload: Array(payload.utf8)))
    }

    @Test func `reads the current form`() throws {
        let found = try command(
            #"{"command": ["sh", "-c", "x"], "env": {"A": "1"}, "cwd": "/tmp", "stdin": "in", "other": 1}"#)
        #expect(
            found
                == JobCommand(
                    arguments: ["sh", "-c", "x"], environment: ["A": "1"], workingDirectory: "/tmp", standardInput: "in"
                ))
    }

    @Test func `reads the older form`() throws {
        let found = try command(
            #"{"execution": {"command": ["x"], "env": {}, "timeout_seconds": 1.5, "working_dir": "/w"}}"#)
        #expect(found == JobCommand(arguments: ["x"], workingDirectory: "/w", timeout: .milliseconds(1500)))
    }

    @Test func `null and empty are absent`() throws {
        let found = try command(#"{"command": ["x"], "env": null, "cwd": "", "stdin": "", "handler": null}"#)
        #expect(found == JobCommand(arguments: ["x"]))
    }

    @Test(arguments: [
        ("[]", "payload"), ("nonsense", "payload"), ("{}", "payload"), (#"{"handler": "h"}"#, "payload.handler"),
        (#"{"handler": 1}"#, "payload.handler"), (#"{"command": "ls -l"}"#, "payload.command"),
        (#"{"command": []}"#, "payload.command"), (#"{"command": [""]}"#, "payload.command[0]"),
        (#"{"command": ["a", 1]}"#, "payload.command[1]"), (#"{"command": ["a", "b\u0000"]}"#, "payload.command[1]"),
        (#"{"command": ["a"], "env": []}"#, "payload.env"), (#"{"command": ["a"], "env": {"A": 1}}"#, "payload.env.A"),
        (#"{"command": ["a"], "env": {"A=B": "1"}}"#, "payload.env"), (#"{"command": ["a"], "cwd": 1}"#, "payload.cwd"),
        (#"{"command": ["a"], "cwd": "relative"}"#, "payload.cwd"),
        (#"{"command": ["a"], "stdin": {}}"#, "payload.stdin"),
        (#"{"execution": []}"#, "payload.execution"), (#"{"execution": {}}"#, "payload.execution.command"),
        (#"{"execution": {"command": ["a"], "timeout_seconds": "5"}}"#, "payload.execution.timeout_seconds"),
        (#"{"execution": {"command": ["a"], "timeout_seconds": 0}}"#, "payload.execution.timeout_seconds"),
    ])
    func `a wrong field is named in one line`(payload: String, field: String) {
        let error = #expect(throws: OrchestratorError.self) { try command(payload) }
        #expect(error?.kind == .invalidArgument(field: field))
        #expect(error?.message.contains("\n") == false)
    }

    @Test func `the message for no command says what to give`() {
        let error = #expect(throws: OrchestratorError.self) { try command("{}") }
        #expect(error?.message.hasPrefix("payload has neither \"command\" nor a configured \"handler\"") == true)
    }

    @Test func `a class without a runner here is a failed precondition`() {
        let error = #expect(throws: OrchestratorError.self) { try command(#"{"command": ["a"]}"#, .gpuSlurm) }
        #expect(error?.kind == .failedPrecondition)
    }
}
