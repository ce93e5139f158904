import ArgumentParser
import EventSinks
import Foundation
import Orchestrator
import Programs
import Testing

@testable import dspy_orchestrator

@Suite struct SinkSettingsTests {
    private func settings(_ arguments: [String] = [], _ environment: [String: String] = [:]) throws -> SinkSettings {
        try ServeConfiguration(try ServeOptions.parse(arguments), environment: environment).sinks
    }

    @Test func `by default there is the event file, with an end to its size, and nothing else`() throws {
        let defaults = try settings()
        #expect(defaults.rotation == EventFileRotation(maxBytes: 256 << 20, maxAge: nil, keep: 10))
        #expect(defaults.kafka == nil)
    }

    @Test func `the event file's limits are set by flags and variables, and 0 is no limit`() throws {
        #expect(
            try settings(
                ["--event-file-max-bytes", "0", "--event-file-max-hours", "1.5"], ["ORCHESTRATOR_EVENT_FILES_KEPT": "3"]
            ).rotation == EventFileRotation(maxBytes: nil, maxAge: .seconds(5400), keep: 3))
    }

    @Test func `Kafka is there once its brokers are`() throws {
        #expect(try settings([], ["KAFKA_EVENT_TOPIC": "t"]).kafka == nil)
        let kafka = try #require(try settings([], ["KAFKA_BOOTSTRAP_SERVERS": "a:1, [::1]:2"]).kafka)
        #expect(kafka == KafkaConfiguration(bootstrapServers: "a:1,[::1]:2", topic: "agent.events", compression: "lz4"))
        let other = try settings(
            ["--kafka-bootstrap-servers", "b:2", "--kafka-event-topic", "jobs", "--kafka-compression", "zstd"],
            ["KAFKA_BOOTSTRAP_SERVERS": "a:1"]
        ).kafka
        #expect(other == KafkaConfiguration(bootstrapServers: "b:2", topic: "jobs", compression: "zstd"))
    }

    @Test func `RedDB is there once its URL is, with the token of a variable or a file`() throws {
        #expect(try settings([], ["REDDB_TOKEN": "t"]).redDB == nil)
        let redDB = try #require(try settings([], ["REDDB_URL": "http://db:1/", "REDDB_TOKEN": "abc"]).redDB)
        #expect(redDB.url == "http://db:1" && redDB.namespace == "dspy" && redDB.stream == "agent_events")
        #expect(redDB.timeout == .seconds(10) && redDB.giveUp == .seconds(300) && redDB.token() == "abc")

        let file = NSTemporaryDirectory() + "token-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: file) }
        try Data("first\n".utf8).write(to: URL(fileURLWithPath: file))
        let other = try #require(
            try settings(
                ["--reddb-url", "https://db", "--reddb-token-file", file, "--reddb-give-up-seconds", "0"],
                ["REDDB_NAMESPACE": "n", "REDDB_STREAM": "s"]
            ).redDB)
        #expect(other.namespace == "n" && other.stream == "s" && other.giveUp == nil && other.token() == "first")
        try Data("second\n".utf8).write(to: URL(fileURLWithPath: file))
        #expect(other.token() == "second")
    }

    @Test(arguments: [
        (["--event-file-max-bytes", "much"], "--event-file-max-bytes", "much"),
        (["--event-file-max-hours=-1"], "--event-file-max-hours", "-1"),
        (["--event-files-kept", "some"], "--event-files-kept", "some"),
        (["--kafka-bootstrap-servers", "nowhere"], "--kafka-bootstrap-servers", "nowhere"),
        (["--kafka-bootstrap-servers", "a:1", "--kafka-event-topic", "a b"], "--kafka-event-topic", "a b"),
        (["--kafka-bootstrap-servers", "a:1", "--kafka-compression", "rar"], "--kafka-compression", "rar"),
        (["--kafka-bootstrap-servers", "a:1", "--kafka-config", "/none"], "--kafka-config", "/none"),
        (["--reddb-url", "db:1"], "--reddb-url", "db:1"),
        (["--reddb-stream", "a/b"], "--reddb-stream", "a/b"),
        (["--reddb-timeout-seconds", "0"], "--reddb-timeout-seconds", "0.1"),
        (["--reddb-url", "http://a", "--reddb-token-file", "/none"], "--reddb-token-file", "/none"),
    ])
    func `a bad value is refused naming its flag`(arguments: [String], flag: String, words: String) throws {
        let error = try #require(throws: (any Error).self) { try settings(arguments) }
        let message = ServeOptions.message(for: error)
        #expect(message.contains(flag) && message.contains(words), "\(message)")
    }
}
