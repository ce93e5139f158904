import ArgumentParser
import Foundation
import Orchestrator
import Programs
import RPCServer
import Testing

@testable import dspy_orchestrator

@Suite struct ConfigurationFileTests {
    /// A file with this text while `body` runs.
    private func withFile<Value>(_ text: String, _ body: (String) throws -> Value) throws -> Value {
        let path = FileManager.default.temporaryDirectory.appending(path: "settings-\(UUID()).yaml").path
        try Data(text.utf8).write(to: URL(filePath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try body(path)
    }

    private func configuration(
        _ text: String, _ arguments: [String] = [], _ environment: [String: String] = [:]
    ) throws -> ServeConfiguration {
        try withFile(text) {
            try ServeConfiguration(try ServeOptions.parse(["--config", $0] + arguments), environment: environment)
        }
    }

    @Test func `a flag beats a variable, and that beats the file`() throws {
        let text = "server: {queue_dir: /file, log_dir: /file, data_dir: /file, keep_jobs: 5, rpc_max_calls: 7}"
        let mixed = try configuration(
            text, ["--queue-dir", "/flag"],
            ["ENV_QUEUE_DIR": "/variable", "ORCHESTRATOR_LOG_DIR": "/variable", "ORCHESTRATOR_DATA_DIR": ""])
        #expect(mixed.queueDirectory == "/flag" && mixed.logDirectory == "/variable" && mixed.dataDirectory == "/file")
        #expect(mixed.retention.jobs.count == 5 && mixed.rpcPolicy.maxOpenCalls == 7)
    }

    @Test func `the variable names the file as well`() throws {
        let configured = try withFile("server: {demo: yes}") { path in
            try ServeConfiguration(try ServeOptions.parse([]), environment: ["ORCHESTRATOR_CONFIG": path])
        }
        #expect(configured.isDemo)
    }

    @Test(arguments: [
        ("server:\n  log_dir: /x\n  rpc_listn: x", ["line 3", "server.rpc_listn", "did you mean rpc_listen?"]),
        ("server: {colour: blue}", ["line 1", "server.colour", "config example"]),
        ("server:\n  rpc_listen: nowhere", ["--rpc-listen", "line 2", "\"nowhere\"", "HOST:PORT"]),
        ("server: {config: /other}", ["server.config"]), ("srver: {}", ["did you mean server?"]),
        ("server: {rpc_listen: 0.0.0.0:1}", ["--rpc-listen", "--insecure"]),
    ])
    func `what is wrong is told with its place and the way out`(text: String, words: [String]) throws {
        let error = try #require(throws: (any Error).self) { try configuration(text) }
        let message = ServeOptions.message(for: error)
        for word in words { #expect(message.contains(word), "\(message)") }
    }

    @Test func `every flag is a setting of the file, with its variable and its help`() throws {
        let help = ServeOptions.helpMessage(columns: 100_000)
        let flags = help.matches(of: /\n\s+--([a-z0-9-]+) </).map { String($0.1) }
        #expect(KnownSetting.served.map(\.flag) == flags && flags.count > 50)
        #expect(KnownSetting.served.allSatisfy { !$0.variables.isEmpty })
        let first = try #require(KnownSetting.served.first { $0.flag == "rpc-listen" })
        #expect(first.variables == ["ORCHESTRATOR_RPC_LISTEN"] && first.standard == "127.0.0.1:50051")
    }
}
