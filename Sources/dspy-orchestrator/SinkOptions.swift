import ArgumentParser
import EventSinks
import Foundation
import Orchestrator
import Programs

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

    @Option(
        name: .customLong("reddb-url"),
        help:
            "Appends every event to a stream of the RedDB server there, http://HOST:PORT. Its token is in REDDB_TOKEN or --reddb-token-file. (env: REDDB_URL; default: no RedDB)"
    )
    var redDBURL: String?

    @Option(name: .customLong("reddb-namespace"), help: "(env: REDDB_NAMESPACE; default: dspy)")
    var redDBNamespace: String?

    @Option(name: .customLong("reddb-stream"), help: "(env: REDDB_STREAM; default: agent_events)")
    var redDBStream: String?

    @Option(
        name: .customLong("reddb-token-file"),
        help: "A file with the token, read again when the server refuses it. (env: REDDB_TOKEN_FILE)")
    var redDBTokenFile: String?

    @Option(
        name: .customLong("reddb-timeout-seconds"),
        help: "Of one request, 0.1 to 3600. (env: REDDB_TIMEOUT_SECONDS; default: 10)")
    var redDBTimeoutSeconds: String?

    @Option(
        name: .customLong("reddb-give-up-seconds"),
        help:
            "How long a server that is healthy may answer an event with 500 before the event is passed over; 0 is for ever. (env: REDDB_GIVE_UP_SECONDS; default: 300)"
    )
    var redDBGiveUpSeconds: String?
}

/// Where events go besides the ledger, checked.
struct SinkSettings {
    var rotation: EventFileRotation
    /// nil is no Kafka.
    var kafka: KafkaConfiguration?
    /// nil is no RedDB.
    var redDB: RedDBConfiguration?

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
        redDB = try Self.redDB(options, setting)
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

    private static func redDB(_ options: SinkOptions, _ setting: SettingReader) throws -> RedDBConfiguration? {
        let url = try setting(
            "reddb-url", "REDDB_URL", options.redDBURL,
            "an http or https URL without user and query, such as http://127.0.0.1:8080", String?.none
        ) { RedDBConfiguration.base($0).map { $0 as String? } }
        var redDB = RedDBConfiguration(url: url ?? "")
        let name = "1 to 128 letters, digits, \".\", \"_\" and \"-\""
        redDB.namespace = try setting(
            "reddb-namespace", "REDDB_NAMESPACE", options.redDBNamespace, name, redDB.namespace
        ) { RedDBConfiguration.isName($0) ? $0 : nil }
        redDB.stream = try setting("reddb-stream", "REDDB_STREAM", options.redDBStream, name, redDB.stream) {
            RedDBConfiguration.isName($0) ? $0 : nil
        }
        redDB.timeout = try setting(
            "reddb-timeout-seconds", "REDDB_TIMEOUT_SECONDS", options.redDBTimeoutSeconds,
            "a number of seconds from 0.1 to 3600", redDB.timeout, Parse.seconds(0.1...3_600))
        let giveUp = try setting(
            "reddb-give-up-seconds", "REDDB_GIVE_UP_SECONDS", options.redDBGiveUpSeconds,
            "a number of seconds from 0, which is for ever, to 31536000", redDB.giveUp ?? .zero,
            Parse.seconds(0...31_536_000))
        redDB.giveUp = giveUp == .zero ? nil : giveUp
        let file = try setting("reddb-token-file", "REDDB_TOKEN_FILE", options.redDBTokenFile, "a path", String?.none) {
            Parse.path($0).map { $0 as String? }
        }
        guard url != nil else { return nil }
        redDB.token = try token(file: file, variable: setting.environment["REDDB_TOKEN"])
        return redDB
    }

    private static func token(file: String?, variable: String?) throws -> @Sendable () -> String? {
        @Sendable func checked(_ text: String, _ origin: String) throws -> String? {
            let token = text.trimmingCharacters(in: .whitespacesAndNewlines)
            // RFC 6750 §2.1 leaves out what would end the header.
            guard token.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
                throw ValidationError("\(origin): a token is one line of printable ASCII without blanks")
            }
            return token.isEmpty ? nil : token
        }
        guard let file else {
            let token = try checked(variable ?? "", "REDDB_TOKEN")
            return { token }
        }
        let read = { @Sendable in try String(contentsOfFile: file, encoding: .utf8) }
        do {
            _ = try checked(try read(), "--reddb-token-file: \(file)")
        } catch let error as ValidationError {
            throw error
        } catch {
            throw ValidationError("--reddb-token-file: can't read \(file): \(error.localizedDescription)")
        }
        return { (try? read()).flatMap { try? checked($0, file) } }
    }
}
