import Foundation
import Logging
import Orchestrator
import Protocol
import RPCServer
import Testing

@testable import Services

/// A subscriber as the connection sees it: bytes asked for, and a wake when there are more.
@Suite(.timeLimit(.minutes(5))) final class EventSourceTests {
    private let directory = NSTemporaryDirectory() + "/event-source-" + UUID().uuidString
    private let logger = Logger(label: "test")

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    private func ledger(ringEvents: Int = 65_536) throws -> Ledger {
        var configuration = Ledger.Configuration(directory: directory)
        configuration.ringEvents = ringEvents
        return try Ledger.open(configuration, encoders: WireImages.encoders, logger: logger)
    }

    private func source(
        _ ledger: Ledger, after: UInt64 = 0, filter: EventFilter = .all, endWhenDone: Bool = false
    ) async throws -> EventSource {
        let reader = try await ledger.makeReader(after: after, filter: filter, endWhenDone: endWhenDone)
        return EventSource(reader: reader, log: ledger.events, logger: logger)
    }

    /// Reads until the source has nothing, waiting for its wake while it fetches, up to `count` events or its end.
    private func read(_ source: EventSource, count: Int, room: Int = 1_000) async throws -> (
        events: [Wire.Event], end: Status?
    ) {
        let (wakes, wake) = AsyncStream.makeStream(of: Void.self)
        source.attach { wake.yield() }
        var waiting = wakes.makeAsyncIterator()
        var deframer = MessageDeframer(limit: 1 << 20)
        var events: [Wire.Event] = []
        while events.count < count {
            var buffer = [UInt8](repeating: 0, count: room)
            let outcome = buffer.withUnsafeMutableBytes { source.read(into: $0) }
            switch outcome {
            case .bytes(let filled):
                buffer.prefix(filled).withUnsafeBytes { deframer.append($0) }
                while case .message(let bytes) = deframer.next() { events.append(try Wire.Event(decoding: bytes)) }
            case .pending:
                try #require(await waiting.next() != nil, "no wake after \(events.count) events")
            case .ended(let status):
                return (events, status)
            }
        }
        return (events, nil)
    }

    @Test func `history that has left the memory comes from the disk, in order and whole`() async throws {
        let ledger = try ledger(ringEvents: 16)
        let specs = (1...500).map { JobSpec(id: "job-\($0)") }
        for result in await ledger.submit(specs) { _ = try result.get() }
        let source = try await source(ledger)
        let (events, _) = try await read(source, count: 500)
        #expect(events.map(\.sequence) == Array(1...500))
        #expect(events.map(\.jobID) == specs.map(\.id))
        #expect(events.allSatisfy { $0.type == "task_submitted" && $0.state == .queued && $0.source == "rpc" })
        source.close()
        await ledger.close()
    }

    @Test func `a stream of finished jobs ends with OK after their last event`() async throws {
        let ledger = try ledger()
        _ = try await ledger.submit(JobSpec(id: "a"))
        _ = try await ledger.submit(JobSpec(id: "b"))
        let started = try await ledger.start("a")
        _ = try await ledger.finish("a", attempt: started.attempt, AttemptOutcome(exitCode: 3, failure: .exitCode))
        let source = try await source(ledger, filter: EventFilter(jobIDs: ["a"]), endWhenDone: true)
        let (events, end) = try await read(source, count: .max, room: 7)
        #expect(events.map(\.type) == ["task_submitted", "task_started", "task_failed"])
        #expect(end == .ok)
        source.close()
        await ledger.close()
    }

    @Test func `a source that is closed counts no more, and a shutdown says how to go on`() async throws {
        let ledger = try ledger()
        let source = try await source(ledger)
        #expect(ledger.events.places.count == 1)
        let status = source.statusAtShutdown()
        #expect(status.code == .unavailable && status.message.contains("after_sequence"))
        source.close()
        #expect(ledger.events.places.count == 0)
        await ledger.close()
    }
}
