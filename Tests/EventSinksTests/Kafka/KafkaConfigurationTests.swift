import Logging
import Orchestrator
import Testing

@testable import EventSinks

@Suite struct KafkaConfigurationTests {
    @Test func `a file's lines are librdkafka's settings`() throws {
        let text = "# security\n\nsecurity.protocol = sasl_ssl\r\n sasl.password=a=b # c\n"
        let properties = try KafkaConfiguration.properties(text, file: "k.conf")
        #expect(properties.map(\.name) == ["security.protocol", "sasl.password"])
        #expect(properties.map(\.value) == ["sasl_ssl", "a=b # c"])
        #expect(properties.map(\.origin) == ["k.conf:3", "k.conf:4"])
    }

    @Test(arguments: ["acks=1", "enable.idempotence = false", "bootstrap.servers=elsewhere:1", "transactional.id=x"])
    func `what the guarantees rest on can't be changed`(line: String) throws {
        let error = #expect(throws: OrchestratorError.self) {
            try KafkaConfiguration.properties("\n" + line, file: "k.conf")
        }
        #expect(error?.message.contains("k.conf:2") == true)
    }

    @Test(arguments: ["acks", "no equals sign here"])
    func `a line without a value says where it is`(line: String) throws {
        let error = #expect(throws: OrchestratorError.self) { try KafkaConfiguration.properties(line, file: "k.conf") }
        #expect(error?.message.contains("k.conf:1") == true)
    }

    @Test(arguments: [
        ("sasl.passwort", "hunter2", "no such setting"), ("security.protocol", "hunter2", "no such value"),
    ])
    func `a setting that librdkafka won't have is named, and its value is not`(
        name: String, value: String, words: String
    ) throws {
        let configuration = KafkaConfiguration(
            bootstrapServers: "127.0.0.1:1",
            properties: [KafkaConfiguration.Property(name: name, value: value, origin: "k.conf:3")])
        let error = #expect(throws: OrchestratorError.self) {
            _ = try KafkaSink(configuration, logger: Logger(label: "test"))
        }
        let message = error?.message ?? ""
        #expect(message.contains("k.conf:3") && message.contains(name) && message.contains(words))
        #expect(!message.contains(value))
    }

    @Test(arguments: [
        ("agent.events", true), ("a-b_C9", true), ("", false), (".", false), ("a b", false), ("é", false),
    ])
    func `a topic's name is one that Kafka takes`(name: String, isOne: Bool) {
        #expect(KafkaConfiguration.isTopic(name) == isOne)
        #expect(!KafkaConfiguration.isTopic(String(repeating: "a", count: 250)))
    }
}
