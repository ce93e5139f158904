import CLibrdkafka

/// One of librdkafka's error codes, or Kafka's own.
struct KafkaError: Error, Equatable, CustomStringConvertible {
    var code: rd_kafka_resp_err_t

    init(_ code: rd_kafka_resp_err_t) { self.code = code }

    var description: String {
        "kafka: \(String(cString: rd_kafka_err2str(code))) (\(String(cString: rd_kafka_err2name(code))))"
    }

    /// The broker has no objection to the sender, the topic or the moment, but to this very message.
    var isTooLarge: Bool { code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE }
    var isInvalid: Bool {
        code == RD_KAFKA_RESP_ERR_INVALID_MSG || code == RD_KAFKA_RESP_ERR_INVALID_RECORD
            || code == RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE
    }
    /// Nothing was wrong: the message was taken back.
    var isPurge: Bool {
        code == RD_KAFKA_RESP_ERR__PURGE_QUEUE || code == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT
    }

    static func == (left: KafkaError, right: KafkaError) -> Bool { left.code == right.code }
}
