/// Encoded events read from the database for a reader that fell behind the ring.
public struct EventPage: Sendable {
    struct Record: Sendable {
        var sequence: UInt64
        var type: EventType
        var jobID: String
        var image: [UInt8]
    }

    /// The cursor it was read for.
    public var after: UInt64
    /// The cursor once it has been consumed: every event up to here was looked at.
    public var through: UInt64
    var records: [Record]

    /// Bytes of all images.
    public var byteCount: Int { records.reduce(0) { $0 + $1.image.count } }
}
