import ArgumentParser
import EventSinks
import Foundation
import Orchestrator

/// The flags of `serve` about where events go besides the ledger.
struct SinkOptions: ParsableArguments {
    @Option(
        help:
            "Size at which agent_action.jsonl is renamed and a new one begun, in bytes or with KiB, MiB or GiB behind; 0 is no limit. (env: ORCHESTRATOR_EVENT_FILE_MAX_BYTES; default: 256MiB)"
    )
    var eventFileMaxBytes: String?

    @Option(
        help:
            "Hours since its first event after which agent_action.jsonl is renamed when the next one comes; 0 is no limit. (env: ORCHESTRATOR_EVENT_FILE_MAX_HOURS; default: 0)"
    )
    var eventFileMaxHours: String?

    @Option(
        help:
            "Renamed event files that stay, agent_action.LAST-SEQUENCE.jsonl, the newest; 0 is all. (env: ORCHESTRATOR_EVENT_FILES_KEPT; default: 10)"
    )
    var eventFilesKept: String?

    @Option(
        help:
            "Sends every event to Kafka: brokers to begin with, HOST:PORT with commas between. (env: KAFKA_BOOTSTRAP_SERVERS; default: no Kafka)"
    )
    var kafkaBootstrapServers: String?

    @Option(help: "The topic; a job's id is the key. (env: KAFKA_EVENT_TOPIC; default: agent.events)")
    var kafkaEventTopic: String?

    @Option(
        help: "How messages are packed: none, gzip, snappy, lz4 or zstd. (env: KAFKA_COMPRESSION; default: lz4)")
    var kafkaCompression: String?

    @Option(
        help:
            "A file of NAME=VALUE lines with settings of librdkafka's, such as security.protocol=sasl_ssl, sasl.mechanism, sasl.username, sasl.password and ssl.ca.location. (env: KAFKA_CONFIG)"
    )
    var kafkaConfig: String?
}

/// Where events go besides the ledger, checked.
struct SinkSettings {
    var rotation: EventFileRotation
    /// nil is no Kafka.
    var kafka: KafkaConfiguration?

    /// - Throws: `ValidationError` that names the flag, the value and what is expected.
    init(_ options: SinkOptions, environment: [String: String]) throws {
        let setting = SettingReader(environment: environment)
        let standard = EventFileRotation.standard
        rotation = EventFileRotation(
            maxBytes: try setting(
                "event-file-max-bytes", "ORCHESTRATOR_EVENT_FILE_MAX_BYTES", options.eventFileMaxBytes,
                "a number of bytes, such as 500MiB or 2GiB; 0 is no limit", standard.maxBytes, Parse.bytes),
            maxAge: try setting(
                "event-file-max-hours", "ORCHESTRATOR_EVENT_FILE_MAX_HOURS", options.eventFileMaxHours,
                "a number of hours from 0, which is no limit, to 876000", standard.maxAge, Parse.hours),
            keep: try setting(
                "event-files-kept", "ORCHESTRATOR_EVENT_FILES_KEPT", options.eventFilesKept,
                "a whole number; 0 is all", standard.keep, Parse.limit))
        kafka = try Self.kafka(options, setting)
    }

    private static func kafka(_ options: SinkOptions, _ setting: SettingReader) throws -> KafkaConfiguration? {
        let servers = try setting(
            "kafka-bootstrap-servers", "KAFKA_BOOTSTRAP_SERVERS", options.kafkaBootstrapServers,
            "HOST:PORT, with commas between several", String?.none, Parse.brokers)
        var kafka = KafkaConfiguration(bootstrapServers: servers ?? "")
        kafka.topic = try setting(
            "kafka-event-topic", "KAFKA_EVENT_TOPIC", options.kafkaEventTopic,
            "a topic: 1 to 249 letters, digits, \".\", \"_\" and \"-\"", kafka.topic
        ) { KafkaConfiguration.isTopic($0) ? $0 : nil }
        kafka.compression = try setting(
            "kafka-compression", "KAFKA_COMPRESSION", options.kafkaCompression,
            "one of \(KafkaConfiguration.compressions.joined(separator: ", "))", kafka.compression
        ) { KafkaConfiguration.compressions.contains($0) ? $0 : nil }
        let file = try setting("kafka-config", "KAFKA_CONFIG", options.kafkaConfig, "a path", String?.none) {
            Parse.path($0).map { $0 as String? }
        }
        guard servers != nil else { return nil }
        if let file {
            do {
                let text = try String(contentsOfFile: file, encoding: .utf8)
                kafka.properties = try KafkaConfiguration.properties(text, file: file)
            } catch let error as OrchestratorError {
                throw ValidationError("--kafka-config: \(error.message)")
            } catch {
                throw ValidationError("--kafka-config: can't read \(file): \(error.localizedDescription)")
            }
        }
        return kafka
    }
}
