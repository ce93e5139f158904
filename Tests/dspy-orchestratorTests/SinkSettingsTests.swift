import ArgumentParser
import EventSinks
import Foundation
import Orchestrator
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

    @Test(arguments: [
        (["--event-file-max-bytes", "much"], "--event-file-max-bytes", "much"),
        (["--event-file-max-hours=-1"], "--event-file-max-hours", "-1"),
        (["--event-files-kept", "some"], "--event-files-kept", "some"),
        (["--kafka-bootstrap-servers", "nowhere"], "--kafka-bootstrap-servers", "nowhere"),
        (["--kafka-bootstrap-servers", "a:1", "--kafka-event-topic", "a b"], "--kafka-event-topic", "a b"),
        (["--kafka-bootstrap-servers", "a:1", "--kafka-compression", "rar"], "--kafka-compression", "rar"),
        (["--kafka-bootstrap-servers", "a:1", "--kafka-config", "/none"], "--kafka-config", "/none"),
    ])
    func `a bad value is refused naming its flag`(arguments: [String], flag: String, words: String) throws {
        let error = try #require(throws: (any Error).self) { try settings(arguments) }
        let message = ServeOptions.message(for: error)
        #expect(message.contains(flag) && message.contains(words), "\(message)")
    }
}
