import Foundation
import Logging
import Orchestrator
import Synchronization

/// Every event as a record appended to a stream of RedDB, one after the other. When an answer got lost, the end of the
/// stream tells whether the event is there, so that it seldom comes twice.
public final class RedDBSink: EventSink {
    public let name = "reddb"
    /// Each event is a request of its own.
    public let batchLimit = 100
    public let keepsAtOnce = true

    private struct State {
        /// Offset of the last record known to be there.
        var lastOffset: UInt64?
        /// Given before, and perhaps taken.
        var doubtful: UInt64?
        /// The event at which the server fails, and since when.
        var failing: (sequence: UInt64, since: ContinuousClock.Instant)?
    }

    private let configuration: RedDBConfiguration
    private let client: RedDBClient
    private let logger: Logger
    private let state = Mutex(State())

    public init(_ configuration: RedDBConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
        client = RedDBClient(configuration)
    }

    public func deliver(_ events: [Event]) async throws -> Delivery {
        var delivery = Delivery(taken: 0)
        for event in events {
            do {
                if let refusal = try await append(event) { delivery.refusals.append(refusal) }
                delivery.taken += 1
            } catch  where delivery.taken > 0 {
                // It is given again, and is an error then if it still is one.
                break
            }
        }
        return delivery
    }

    public func close() async { await client.close() }

    /// The stream's last record, when it is this ledger's event.
    public func lastDelivered(_ lookup: (UInt64) async throws -> Event?) async throws -> UInt64? {
        guard let record = try await lastRecord(), let mark = EventMark(record.value),
            let event = try await lookup(mark.sequence)
        else { return nil }
        return mark.isOf(event) ? mark.sequence : nil
    }

    /// - Returns: why it is passed over; nil when it was taken.
    private func append(_ event: Event) async throws -> SinkRefusal? {
        if state.withLock({ $0.doubtful == event.sequence }), try await isThere(event) {
            settle()
            return nil
        }
        state.withLock { $0.doubtful = event.sequence }
        let answer = try await client.append(EventLine.json(event))
        let error = RedDBError("an append", status: answer.status, body: answer.body)
        switch RedDBVerdict(status: answer.status, body: answer.body) {
        case .taken:
            note(offset: answer.body)
            settle()
            return nil
        case .refused(let reason):
            settle()
            return SinkRefusal(sequence: event.sequence, reason: reason, detail: "\(error)")
        case .unavailable:
            if answer.status == 401 { client.renewToken() }
            throw error
        case .failed:
            guard await isHopeless(event) else { throw error }
            settle()
            return SinkRefusal(sequence: event.sequence, reason: .failing, detail: "\(error)")
        }
    }

    /// The event is dealt with.
    private func settle() {
        state.withLock { state in
            state.doubtful = nil
            state.failing = nil
        }
    }

    /// Whether the server has failed at this event for long enough, and is well otherwise.
    private func isHopeless(_ event: Event) async -> Bool {
        let now = ContinuousClock.now
        let since = state.withLock { state in
            if let failing = state.failing, failing.sequence == event.sequence { return failing.since }
            state.failing = (event.sequence, now)
            return now
        }
        guard let giveUp = configuration.giveUp, since.duration(to: now) >= giveUp else { return false }
        return await client.isHealthy()
    }

    private func isThere(_ event: Event) async throws -> Bool {
        guard let record = try await lastRecord() else { return false }
        return EventMark(record.value)?.isOf(event) == true
    }

    /// nil, too, when the server won't tell; then an event may come twice.
    private func lastRecord() async throws -> RedDBClient.Record? {
        do {
            return try await searchedLastRecord()
        } catch let error as RedDBError {
            // Without an answer, or the right token, an append would fail as well.
            guard let status = error.status, status != 401, status != 403 else {
                if error.status == 401 { client.renewToken() }
                throw error
            }
            logger.debug("can't read the stream's end", metadata: ["sink": "reddb", "error": "\(error)"])
            return nil
        }
    }

    /// Offsets have no gaps, so the end is found by looking ahead in growing steps, and then between the last two.
    private func searchedLastRecord() async throws -> RedDBClient.Record? {
        var last: RedDBClient.Record?
        var next = state.withLock { $0.lastOffset } ?? 0
        var step: UInt64 = 1
        var end = UInt64.max
        while next < end {
            try Task.checkCancellation()
            if let record = try await client.record(from: next) {
                last = record
                // A server whose answers don't advance has no end to find.
                guard record.offset >= next, record.offset < end else { break }
                let found = record.offset
                next = end == .max ? found.addingReportingOverflow(step).partialValue : found + (end - found + 1) / 2
                step = step &* 2
                if next <= found { break }
            } else {
                end = next
                let low = last.map { $0.offset + 1 } ?? end
                next = low + (end - low) / 2
                if end <= low { break }
            }
        }
        if let last { state.withLock { $0.lastOffset = last.offset } }
        return last
    }

    private func note(offset body: [UInt8]) {
        let object = try? JSONSerialization.jsonObject(with: Data(body)) as? [String: Any]
        guard let offset = (object?["offset"] as? NSNumber)?.uint64Value else { return }
        state.withLock { $0.lastOffset = offset }
    }
}
