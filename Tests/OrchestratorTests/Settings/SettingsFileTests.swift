import Testing

@testable import Orchestrator

@Suite struct SettingsFileTests {
    @Test func `a program's section is texts with their lines, lists with commas`() throws {
        let file = try SettingsFile(
            yaml: """
                server:
                  rpc_listen: 127.0.0.1:1
                  demo: true
                env_runner:
                  classes: [cpu_short, cpu_long]
                """)
        #expect(
            file.server.values == [
                "rpc_listen": .init(text: "127.0.0.1:1", line: 2), "demo": .init(text: "true", line: 3),
            ])
        #expect(file.envRunner.values == ["classes": .init(text: "cpu_short,cpu_long", line: 5)])
        #expect(file.runner == RunnerSettings())
    }

    @Test func `a section of comments sets nothing`() throws {
        #expect(try SettingsFile(yaml: "server:\n  #demo: true\nrunner:\nhandlers:\n") == SettingsFile())
    }

    @Test func `variables of handlers are not shown`() throws {
        let file = try SettingsFile(
            yaml: """
                handlers:
                  one: {command: [run], env: {KEY: hush}}
                runner: {output_cap: 1MiB}
                """)
        #expect(!file.shownRunner.contains("hush") && file.shownRunner.contains("***"))
        let shown = try SettingsFile(yaml: file.shownRunner)
        #expect(shown.runner.outputCap == 1 << 20)
        #expect(file.runner.handlers != shown.runner.handlers)
    }

    @Test(arguments: [
        ("server: {rpc_listen: {}}", "server.rpc_listen (line 1)"), ("server: 5", "server (line 1)"),
        ("server: {demo: [[1]]}", "server.demo[0]"), ("serwer: {}", "did you mean server?"),
    ])
    func `what is no text is refused with its place`(yaml: String, words: String) throws {
        let error = try #require(throws: OrchestratorError.self) { try SettingsFile(yaml: yaml) }
        #expect(error.message.contains(words), "\(error.message)")
    }
}
