import CLibrdkafka
import Logging
import Orchestrator
import Synchronization

/// Every event as a message in a topic: the job's id is the key, so a job's events stay in order on one partition, and the
/// value is the line of the event file. The producer is idempotent and waits for all in-sync replicas; an event counts as
/// taken by its delivery report alone. A message can still come twice, after a restart or a lost answer, and then with the
/// same sequence.
public final class KafkaSink: EventSink {
    public let name = "kafka"
    public let keepsAtOnce = true

    private struct State {
        var producer: KafkaProducer?
        /// Up to this sequence each event travels alone, to find the one that is refused.
        var aloneThrough: UInt64 = 0
        var trouble: @Sendable (String) -> Void = { _ in }
    }

    private let configuration: KafkaConfiguration
    private let logger: Logger
    private let state = Mutex(State())

    /// - Throws: `invalidArgument` that names the setting librdkafka won't have.
    public init(_ configuration: KafkaConfiguration, logger: Logger) throws(OrchestratorError) {
        self.configuration = configuration
        self.logger = logger
        let producer = try makeProducer()
        state.withLock { $0.producer = producer }
    }

    public func begin(_ trouble: @escaping @Sendable (String) -> Void) async {
        state.withLock { $0.trouble = trouble }
    }

    public func deliver(_ events: [Event]) async throws -> Delivery {
        let producer = try await usableProducer()
        let aloneThrough = state.withLock { $0.aloneThrough }
        let events = events.first.map { $0.sequence <= aloneThrough } == true ? Array(events.prefix(1)) : events
        let failures = await producer.send(events.map(Self.message))
        try Task.checkCancellation()
        guard let (index, failure) = failures.min(by: { $0.key < $1.key }) else { return Delivery(taken: events.count) }
        if failure.isTooLarge || failure.isInvalid {
            guard events.count > 1 else {
                return Delivery(
                    taken: 1,
                    refusals: [
                        SinkRefusal(
                            sequence: events[0].sequence, reason: failure.isTooLarge ? .tooLarge : .invalid,
                            detail: "\(failure)")
                    ])
            }
            // A broker refuses what travelled together, and means one of them.
            state.withLock { $0.aloneThrough = events[events.count - 1].sequence }
            return index > 0 ? Delivery(taken: index) : try await deliver(events)
        }
        guard index > 0 else { throw failure }
        return Delivery(taken: index)
    }

    public func close() async {
        await state.withLock { state in
            defer { state.producer = nil }
            return state.producer
        }?.close()
    }

    static func message(_ event: Event) -> KafkaMessage {
        KafkaMessage(key: event.jobID.isEmpty ? nil : Array(event.jobID.utf8), value: EventLine.json(event))
    }

    /// After a fatal error a new producer, with the next delivery.
    private func usableProducer() async throws -> KafkaProducer {
        let known = state.withLock { $0.producer }
        let fatal = known?.fatalError
        if let known, fatal == nil { return known }
        if let fatal { logger.warning("Kafka's producer is made anew", metadata: ["error": "\(fatal)"]) }
        state.withLock { $0.producer = nil }
        await known?.close()
        let producer = try makeProducer()
        state.withLock { $0.producer = producer }
        return producer
    }

    private func makeProducer() throws(OrchestratorError) -> KafkaProducer {
        try KafkaProducer(configuration, logger: logger) { [weak self] words in
            self?.state.withLock { $0.trouble }(words)
        }
    }
}
