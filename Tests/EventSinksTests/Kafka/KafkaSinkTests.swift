import CLibrdkafka
import Foundation
import Logging
import Orchestrator
import Synchronization
import Testing

@testable import EventSinks

/// Against three brokers on loopback.
@Suite(.serialized, .timeLimit(.minutes(5))) struct KafkaSinkTests {
    private let cluster: MockCluster

    init() throws { cluster = try MockCluster() }

    private func events(_ range: ClosedRange<UInt64>, jobs: UInt64 = 5) -> [Event] {
        range.map { sequence in
            Event(
                sequence: sequence, type: .taskSubmitted, jobID: "job-\(sequence % jobs)",
                time: Timestamp(nanoseconds: 0), attempt: 0, state: .queued, data: [], source: "rpc")
        }
    }

    /// Closes the sink after `body`, also when that throws.
    private func withSink(
        _ properties: [(String, String)] = [], _ body: (KafkaSink) async throws -> Void
    ) async throws {
        let sink = try KafkaSink(
            KafkaConfiguration(
                bootstrapServers: cluster.bootstrapServers,
                properties: properties.map { KafkaConfiguration.Property(name: $0.0, value: $0.1, origin: "test") }),
            logger: Logger(label: "test"))
        do {
            try await body(sink)
        } catch {
            await sink.close()
            throw error
        }
        await sink.close()
    }

    private func sequence(_ message: MockCluster.Message) throws -> UInt64 {
        let object = try JSONSerialization.jsonObject(with: Data(message.value.utf8)) as? [String: Any]
        return try #require(object?["sequence"] as? UInt64)
    }

    @Test(arguments: KafkaConfiguration.compressions)
    func `each event is a message once, with its job as the key, in order within the job`(compression: String)
        async throws
    {
        try await withSink([("compression.codec", compression)]) { sink async throws in
            #expect(try await sink.deliver(events(1...400)) == Delivery(taken: 400))
            #expect(try await sink.deliver(events(401...500)) == Delivery(taken: 100))
        }
        let messages = try cluster.messages()
        #expect(try Set(messages.map(sequence)) == Set(1...500) && messages.count == 500)
        for job in 0..<5 {
            let own = messages.filter { $0.key == "job-\(job)" }
            #expect(Set(own.map(\.partition)).count == 1)
            let sequences = try own.map(sequence)
            #expect(sequences == sequences.sorted() && sequences.count == 100)
        }
        #expect(Set(messages.map(\.partition)).count > 1)
        #expect(
            messages.first.map { $0.value.hasPrefix(#"{"sequence":"#) && $0.value.contains(#""source":"rpc"}"#) }
                == true)
    }

    @Test func `an event of no job has no key`() async throws {
        var event = events(1...1)[0]
        event.jobID = ""
        try await withSink { sink async throws in _ = try await sink.deliver([event]) }
        #expect(try cluster.messages().map(\.key) == [nil])
    }

    @Test func `cancelling takes back what is on its way, and the sink can be used again`() async throws {
        try await withSink { sink async throws in
            _ = try await sink.deliver(events(1...10))
            cluster.delay(60_000)
            let delivery = Task { try await sink.deliver(events(11...20)) }
            delivery.cancel()
            await #expect(throws: (any Error).self) { try await delivery.value }
            cluster.delay(0)
            #expect(await deliversAtLast(events(11...20), sink))
        }
        #expect(try Set(cluster.messages().map(sequence)) == Set(1...20))
    }

    @Test func `a broker that can't be reached is told while it is waited for`() async throws {
        let (told, trouble) = AsyncStream.makeStream(of: String.self)
        let sink = try KafkaSink(
            KafkaConfiguration(bootstrapServers: "127.0.0.1:9"), logger: Logger(label: "test"))
        await sink.begin { trouble.yield($0) }
        let delivery = Task { try await sink.deliver(events(1...2)) }
        var words = told.makeAsyncIterator()
        #expect(await words.next()?.hasPrefix("kafka: ") == true)
        delivery.cancel()
        await #expect(throws: (any Error).self) { try await delivery.value }
        await sink.close()
        trouble.finish()
        while let more = await words.next() { #expect(more.hasPrefix("kafka: ")) }
    }

    @Test func `brokers that refuse for the moment are tried again, and nothing comes twice`() async throws {
        cluster.failProduce([
            RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
            RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        ])
        try await withSink { sink async throws in #expect(try await sink.deliver(events(1...50)) == Delivery(taken: 50))
        }
        #expect(try cluster.messages().map(sequence).sorted() == Array(1...50))
    }

    @Test func `a message that is too large is refused alone; its neighbours are delivered`() async throws {
        try await withSink([("message.max.bytes", "2000")]) { sink async throws in
            var given = events(1...20, jobs: 1)
            given[7].data = Array(#"{"task_id":"x","text":"\#(String(repeating: "a", count: 4000))"}"#.utf8)
            var refused: [SinkRefusal] = []
            var at = 0
            while at < given.count {
                let delivery = try await sink.deliver(Array(given[at...]))
                at += delivery.taken
                refused += delivery.refusals
            }
            #expect(refused.map(\.sequence) == [8] && refused.map(\.reason) == [.tooLarge])
        }
        #expect(try cluster.messages().map(sequence) == Array(1...7) + Array(9...20))
    }

    @Test func `a broker's refusal of a whole batch refuses nobody who was not meant`() async throws {
        cluster.failProduce([RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE])
        try await withSink { sink async throws in
            var at = 0
            let given = events(1...10, jobs: 1)
            while at < given.count {
                let delivery = try await sink.deliver(Array(given[at...]))
                at += delivery.taken
                #expect(delivery.refusals.isEmpty)
            }
        }
        #expect(try Set(cluster.messages().map(sequence)) == Set(1...10))
    }

    @Test func `what the topic forbids is an error to be tried again`() async throws {
        cluster.failProduce([RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED])
        try await withSink { sink async throws in
            let error = await #expect(throws: KafkaError.self) { try await sink.deliver(events(1...1)) }
            #expect(error?.code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
            #expect(await deliversAtLast(events(1...1), sink))
        }
    }

    /// As the runner does, but with no pause.
    private func deliversAtLast(_ events: [Event], _ sink: KafkaSink) async -> Bool {
        let deadline = ContinuousClock.now.advanced(by: .seconds(180))
        while ContinuousClock.now < deadline {
            if (try? await sink.deliver(events)) == Delivery(taken: events.count) { return true }
        }
        return false
    }

    @Test func `after a fatal error a new producer goes on`() async throws {
        cluster.failProduce([RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER])
        try await withSink([("enable.gapless.guarantee", "true")]) { sink async throws in
            #expect(await deliversAtLast(events(1...5), sink))
        }
        #expect(try Set(cluster.messages().map(sequence)) == Set(1...5))
    }

    @Test func `a queue that is full takes the first ones`() async throws {
        try await withSink([("queue.buffering.max.messages", "3")]) { sink async throws in
            let delivery = try await sink.deliver(events(1...10))
            #expect((1...3).contains(delivery.taken) && delivery.refusals.isEmpty)
        }
    }
}
