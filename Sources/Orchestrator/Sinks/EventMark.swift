import Foundation

/// What is read back of an event that a sink was told: enough to tell it from another ledger's with the same sequence.
public struct EventMark: Decodable, Sendable {
    public var sequence: UInt64
    var type: String
    var timestamp: String

    /// nil when the text is not what `EventLine` writes.
    public init?(_ line: [UInt8]) {
        guard let mark = try? JSONDecoder().decode(EventMark.self, from: Data(line)) else { return nil }
        self = mark
    }

    public func isOf(_ event: Event) -> Bool {
        sequence == event.sequence && type == event.type.rawValue && timestamp == event.time.rfc3339
    }

    var time: Timestamp? { Timestamp(rfc3339: timestamp) }
}
