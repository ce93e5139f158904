import CLibrdkafka
import Foundation

/// Three real TCP brokers, as librdkafka's own tests have them. Its handles never change, and librdkafka allows any thread
/// to use them.
final class MockCluster: @unchecked Sendable {
    private let client: OpaquePointer
    private let cluster: OpaquePointer

    let topic = "agent.events"

    init(partitions: Int32 = 4) throws {
        client = try Self.client(RD_KAFKA_PRODUCER, [:])
        guard let made = rd_kafka_mock_cluster_new(client, 3) else { throw Failure("no cluster") }
        cluster = made
        rd_kafka_mock_topic_create(cluster, topic, partitions, 3)
    }

    deinit {
        rd_kafka_mock_cluster_destroy(cluster)
        rd_kafka_destroy(client)
    }

    var bootstrapServers: String { String(cString: rd_kafka_mock_cluster_bootstraps(cluster)) }

    func takeDown(_ brokers: ClosedRange<Int32> = 1...3) {
        for broker in brokers { rd_kafka_mock_broker_set_down(cluster, broker) }
    }

    func bringUp(_ brokers: ClosedRange<Int32> = 1...3) {
        for broker in brokers { rd_kafka_mock_broker_set_up(cluster, broker) }
    }

    /// The next Produce requests are answered with these.
    func failProduce(_ errors: [rd_kafka_resp_err_t]) {
        rd_kafka_mock_push_request_errors_array(cluster, 0, errors.count, errors)
    }

    struct Message: Equatable {
        var key: String?
        var value: String
        var partition: Int32
    }

    /// Everything in the topic, partition by partition, in its order there.
    func messages() throws -> [Message] {
        let consumer = try Self.client(
            RD_KAFKA_CONSUMER, ["bootstrap.servers": bootstrapServers, "enable.partition.eof": "true"])
        defer { rd_kafka_destroy(consumer) }
        guard let topic = rd_kafka_topic_new(consumer, topic, nil) else { throw Failure("no topic") }
        defer { rd_kafka_topic_destroy(topic) }
        var found: [Message] = []
        for partition: Int32 in 0..<4 {
            guard rd_kafka_consume_start(topic, partition, Int64(RD_KAFKA_OFFSET_BEGINNING)) == 0 else {
                throw Failure("can't consume partition \(partition)")
            }
            defer { rd_kafka_consume_stop(topic, partition) }
            reading: while true {
                guard let message = rd_kafka_consume(topic, partition, 20_000) else {
                    throw Failure("nothing from partition \(partition)")
                }
                defer { rd_kafka_message_destroy(message) }
                switch message.pointee.err {
                case RD_KAFKA_RESP_ERR_NO_ERROR:
                    found.append(
                        Message(
                            key: text(message.pointee.key, message.pointee.key_len),
                            value: text(message.pointee.payload, message.pointee.len) ?? "", partition: partition))
                case RD_KAFKA_RESP_ERR__PARTITION_EOF: break reading
                default: continue reading
                }
            }
        }
        return found
    }

    private func text(_ start: UnsafeMutableRawPointer?, _ count: Int) -> String? {
        start.map { String(decoding: UnsafeRawBufferPointer(start: $0, count: count), as: UTF8.self) }
    }

    private static func client(_ kind: rd_kafka_type_t, _ settings: [String: String]) throws -> OpaquePointer {
        var words = [CChar](repeating: 0, count: 512)
        let configuration = rd_kafka_conf_new()
        for (name, value) in settings { rd_kafka_conf_set(configuration, name, value, &words, words.count) }
        // Brokers that go away on purpose are nothing to print.
        rd_kafka_conf_set_log_cb(configuration) { _, _, _, _ in }
        guard let client = rd_kafka_new(kind, configuration, &words, words.count) else { throw Failure("no client") }
        return client
    }

    struct Failure: Error {
        var words: String
        init(_ words: String) { self.words = words }
    }
}
