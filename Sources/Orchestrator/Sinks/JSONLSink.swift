import Dispatch
import Foundation
import Synchronization

/// The event file: every event as one line of JSON, in order. Lines are visible at once; a flush makes them durable. When
/// a log rotation moves the file away, the next events start a new one.
public final class JSONLSink: EventSink {
    public let name = "jsonl"
    public let path: String

    /// Calls block on the disk, so they run here and not on the threads that serve everybody.
    private let queue = DispatchQueue(label: "event-file")
    private let file = Mutex<OpenFile>(OpenFile())

    private struct OpenFile: ~Copyable {
        var file: JSONLFile?

        mutating func append(_ lines: [UInt8], at path: String) throws {
            try open(at: path)
            try file?.append(lines)
        }

        mutating func synchronize() throws { try file?.synchronize() }

        mutating func lastLine(at path: String) throws -> [UInt8]? {
            try open(at: path)
            return try file?.lastLine()
        }

        private mutating func open(at path: String) throws {
            if let isInPlace = file?.isInPlace {
                if isInPlace { return }
                // The rotated file's lines are to be as safe as the new one's.
                try file?.synchronize()
                file = nil
            }
            file = try JSONLFile.open(path: path)
        }
    }

    /// - Parameter directory: the log directory; the file in it is `agent_action.jsonl`. Nothing is opened yet.
    public convenience init(directory: String) {
        self.init(path: (directory as NSString).appendingPathComponent("agent_action.jsonl"))
    }

    init(path: String) { self.path = path }

    public func deliver(_ events: [Event]) async throws {
        var lines: [UInt8] = []
        lines.reserveCapacity(events.count * 256)
        for event in events {
            lines += EventLine.json(event)
            lines.append(UInt8(ascii: "\n"))
        }
        try await onQueue { [lines] in try self.file.withLock { try $0.append(lines, at: self.path) } }
    }

    public func flush() async throws {
        try await onQueue { try self.file.withLock { try $0.synchronize() } }
    }

    /// The sequence in the file's last line, if it is this ledger's event: after the data directory was replaced, an
    /// older ledger's lines may stand there.
    public func lastDelivered(_ lookup: (UInt64) async throws -> Event?) async throws -> UInt64? {
        let line = try await onQueue { try self.file.withLock { try $0.lastLine(at: self.path) } }
        guard let line, let mark = Mark(line), let event = try await lookup(mark.sequence) else { return nil }
        return event.type.rawValue == mark.type && event.time.rfc3339 == mark.timestamp ? mark.sequence : nil
    }

    private func onQueue<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Result { try body() }) }
        }
    }

    /// What tells one event from another ledger's with the same sequence.
    private struct Mark: Decodable {
        var sequence: UInt64
        var type: String
        var timestamp: String

        init?(_ line: [UInt8]) {
            guard let mark = try? JSONDecoder().decode(Mark.self, from: Data(line)) else { return nil }
            self = mark
        }
    }
}
