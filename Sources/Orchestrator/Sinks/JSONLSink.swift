import Dispatch
import Foundation
import Synchronization

/// The event file: every event as one line of JSON, in order. Lines are visible at once; a flush makes them durable. A
/// file that has reached its size or age is renamed and a new one begun, so that `tail -F` goes on; so it is when somebody
/// else moves the file away.
public final class JSONLSink: EventSink {
    public let name = "jsonl"
    public let path: String

    /// Calls block on the disk, so they run here and not on the threads that serve everybody.
    private let queue = DispatchQueue(label: "event-file")
    private let file: Mutex<RotatingFile>

    /// - Parameter directory: the log directory; the file in it is `agent_action.jsonl`. Nothing is opened yet.
    public convenience init(directory: String, rotation: EventFileRotation = .standard) {
        self.init(path: (directory as NSString).appendingPathComponent("agent_action.jsonl"), rotation: rotation)
    }

    init(path: String, rotation: EventFileRotation, now: @escaping @Sendable () -> Timestamp = { .now() }) {
        self.path = path
        file = Mutex(RotatingFile(path: path, rotation: rotation, now: now))
    }

    public func deliver(_ events: [Event]) async throws -> Delivery {
        let lines = events.map { event in
            var bytes = EventLine.json(event)
            bytes.append(UInt8(ascii: "\n"))
            return (sequence: event.sequence, time: event.time, bytes: bytes)
        }
        return try await onQueue { [lines] in
            var taken = 0
            do {
                while taken < lines.count {
                    taken += try self.file.withLock { try $0.append(lines[taken...]) }
                }
            } catch  where taken > 0 {
                // The rest is given again, and fails again if it must.
            }
            return Delivery(taken: taken)
        }
    }

    public func flush() async throws {
        try await onQueue { try self.file.withLock { try $0.synchronize() } }
    }

    /// The sequence in the last line, if it is this ledger's event: after the data directory was replaced, an older
    /// ledger's lines may stand there.
    public func lastDelivered(_ lookup: (UInt64) async throws -> Event?) async throws -> UInt64? {
        let line = try await onQueue { try self.file.withLock { try $0.lastLine() } }
        guard let line, let mark = EventMark(line), let event = try await lookup(mark.sequence) else { return nil }
        return mark.isOf(event) ? mark.sequence : nil
    }

    private func onQueue<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Result { try body() }) }
        }
    }
}
