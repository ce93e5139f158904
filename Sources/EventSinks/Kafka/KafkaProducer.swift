import CLibrdkafka
import Dispatch
import Logging
import Orchestrator
import Synchronization

/// A message on its way to the topic.
struct KafkaMessage: Sendable {
    /// What decides on the partition; nil is any.
    var key: [UInt8]?
    var value: [UInt8]
}

/// librdkafka's producer for one topic. It has threads of its own; nothing here waits for the network but `send`.
final class KafkaProducer: Sendable {
    /// What librdkafka's callbacks reach. The producer's handle keeps it for as long as it lives.
    private final class Listener: Sendable {
        /// Of the batch on its way; there is one at a time.
        let reports = Mutex<DeliveryReports?>(nil)
        let trouble: @Sendable (String) -> Void
        let logger: Logger

        init(trouble: @escaping @Sendable (String) -> Void, logger: Logger) {
            self.trouble = trouble
            self.logger = logger
        }
    }

    /// librdkafka allows its handles to be used by any thread at any time; after `close` nobody has them.
    private struct Handles: @unchecked Sendable {
        var client: OpaquePointer
        var topic: OpaquePointer
        var listener: Unmanaged<Listener>
    }

    private let handles: Mutex<Handles?>
    private let listener: Listener

    /// Connects in the background; a broker that can't be reached is no error here.
    ///
    /// - Parameter trouble: called from librdkafka's thread with a line about what it waits out itself, and what it can't.
    /// - Throws: `invalidArgument` when librdkafka refuses a setting.
    init(
        _ configuration: KafkaConfiguration, logger: Logger,
        trouble: @escaping @Sendable (String) -> Void
    ) throws(OrchestratorError) {
        listener = Listener(trouble: trouble, logger: logger)
        handles = Mutex(nil)
        let opened = try Self.open(configuration, listener)
        handles.withLock { $0 = opened }
    }

    private static func open(
        _ configuration: KafkaConfiguration, _ listener: Listener
    ) throws(OrchestratorError) -> Handles {
        var words = [CChar](repeating: 0, count: 512)
        let settings = rd_kafka_conf_new()
        for property in configuration.settings {
            let result = rd_kafka_conf_set(settings, property.name, property.value, &words, words.count)
            if result != RD_KAFKA_CONF_OK {
                rd_kafka_conf_destroy(settings)
                // librdkafka's words may repeat the value, which may be a secret.
                let why = result == RD_KAFKA_CONF_UNKNOWN ? "librdkafka knows no such setting" : "it has no such value"
                throw .invalidArgument("kafka-config", "\(property.origin): \(property.name): \(why)")
            }
        }
        let retained = Unmanaged.passRetained(listener)
        rd_kafka_conf_set_opaque(settings, retained.toOpaque())
        rd_kafka_conf_set_events(settings, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR)
        rd_kafka_conf_set_background_event_cb(settings) { _, event, opaque in
            defer { rd_kafka_event_destroy(event) }
            guard let opaque, let event else { return }
            KafkaProducer.receive(event, Unmanaged<Listener>.fromOpaque(opaque).takeUnretainedValue())
        }
        rd_kafka_conf_set_log_cb(settings) { client, _, facility, text in
            guard let client, let opaque = rd_kafka_opaque(client), let text else { return }
            let facility = facility.map { String(cString: $0) } ?? ""
            Unmanaged<Listener>.fromOpaque(opaque).takeUnretainedValue().logger
                .debug("librdkafka: \(String(cString: text))", metadata: ["facility": "\(facility)"])
        }
        guard let client = rd_kafka_new(RD_KAFKA_PRODUCER, settings, &words, words.count) else {
            rd_kafka_conf_destroy(settings)
            retained.release()
            throw .invalidArgument("kafka-config", "librdkafka does not take the settings: \(text(words))")
        }
        // Reports and errors come by librdkafka's background thread, which calls the callback above.
        let main = rd_kafka_queue_get_main(client)
        let background = rd_kafka_queue_get_background(client)
        rd_kafka_queue_forward(main, background)
        rd_kafka_queue_destroy(main)
        rd_kafka_queue_destroy(background)
        guard let topic = rd_kafka_topic_new(client, configuration.topic, nil) else {
            let error = KafkaError(rd_kafka_last_error())
            rd_kafka_destroy(client)
            retained.release()
            throw .invalidArgument("kafka-event-topic", "\(configuration.topic): \(error)")
        }
        return Handles(client: client, topic: topic, listener: retained)
    }

    deinit { assert(handles.withLock { $0 == nil }, "close() a producer before it goes") }

    /// Sends the messages and returns once each has its report: that all in-sync replicas have it, or why not. One call
    /// at a time. Cancelling the task takes back what is still on its way.
    ///
    /// - Returns: what failed, by the messages' places. When librdkafka did not even take one, those after it were not
    ///   sent and are not told.
    func send(_ messages: [KafkaMessage]) async -> [Int: KafkaError] {
        guard let handles = handles.withLock({ $0 }) else {
            return [0: KafkaError(RD_KAFKA_RESP_ERR__DESTROY)]
        }
        let reports = DeliveryReports()
        listener.reports.withLock { $0 = reports }
        defer { listener.reports.withLock { $0 = nil } }
        return await withTaskCancellationHandler {
            for (index, message) in messages.enumerated() {
                reports.expect()
                if let error = Self.produce(message, index: index, handles) {
                    reports.report(index, error)
                    // The ones after it would overtake it.
                    break
                }
            }
            // A cancellation while the messages were handed over found only some of them.
            if Task.isCancelled { Self.purge(handles) }
            return await reports.all()
        } onCancel: {
            Self.purge(handles)
        }
    }

    private static func produce(_ message: KafkaMessage, index: Int, _ handles: Handles) -> KafkaError? {
        var value = message.value
        let key = message.key ?? []
        let failed = value.withUnsafeMutableBytes { value in
            key.withUnsafeBytes { key in
                rd_kafka_produce(
                    handles.topic, RD_KAFKA_PARTITION_UA, Int32(RD_KAFKA_MSG_F_COPY), value.baseAddress, value.count,
                    message.key == nil ? nil : key.baseAddress, key.count,
                    // From 1, as 0 is a null pointer. It comes back in the report.
                    UnsafeMutableRawPointer(bitPattern: index + 1)) != 0
            }
        }
        return failed ? KafkaError(rd_kafka_last_error()) : nil
    }

    private static func purge(_ handles: Handles) {
        _ = rd_kafka_purge(handles.client, Int32(RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT))
    }

    private static func receive(_ event: OpaquePointer, _ listener: Listener) {
        switch rd_kafka_event_type(event) {
        case RD_KAFKA_EVENT_DR:
            let reports = listener.reports.withLock { $0 }
            while let message = rd_kafka_event_message_next(event) {
                let code = message.pointee.err
                let error = code == RD_KAFKA_RESP_ERR_NO_ERROR ? nil : KafkaError(code)
                reports?.report(Int(bitPattern: message.pointee._private) - 1, error)
            }
        case RD_KAFKA_EVENT_ERROR:
            let words = rd_kafka_event_error_string(event).map { "kafka: " + String(cString: $0) }
            listener.trouble(words ?? "\(KafkaError(rd_kafka_event_error(event)))")
        default: break
        }
    }

    /// Why the producer is of no more use, such as that the brokers have lost what makes it idempotent; else nil.
    var fatalError: KafkaError? {
        guard let handles = handles.withLock({ $0 }) else { return nil }
        let code = rd_kafka_fatal_error(handles.client, nil, 0)
        return code == RD_KAFKA_RESP_ERR_NO_ERROR ? nil : KafkaError(code)
    }

    /// Ends librdkafka's threads; waits for them for at most `limit`, as one may be stuck in a look-up of a name.
    func close(within limit: Duration = .seconds(2)) async {
        let taken = handles.withLock { handles in
            defer { handles = nil }
            return handles
        }
        guard let taken else { return }
        let (ended, end) = AsyncStream.makeStream(of: Void.self)
        DispatchQueue.global().async {
            rd_kafka_topic_destroy(taken.topic)
            rd_kafka_destroy(taken.client)
            taken.listener.release()
            end.finish()
        }
        DispatchQueue.global().asyncAfter(deadline: .now() + limit.inSeconds) { end.finish() }
        // In a task of its own: the sink's may be cancelled, and the program is about to exit.
        await Task { for await _ in ended {} }.value
    }

    private static func text(_ words: [CChar]) -> String {
        String(decoding: words.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
