/// When the event file makes place for a new one, and how many of the old ones stay.
public struct EventFileRotation: Sendable, Equatable {
    /// The file's size, at most; a single longer line has a file of its own. nil is no limit. Default 256 MiB.
    public var maxBytes: Int64?
    /// Since the file's first event. Looked at when the next one comes: a quiet file stays. nil, the default, is no limit.
    public var maxAge: Duration?
    /// Rotated files that stay, the newest; nil is all. Default 10.
    public var keep: Int?

    public static let standard = EventFileRotation(maxBytes: 256 << 20, maxAge: nil, keep: 10)

    public init(maxBytes: Int64? = nil, maxAge: Duration? = nil, keep: Int? = nil) {
        self.maxBytes = maxBytes
        self.maxAge = maxAge
        self.keep = keep
    }

    /// Whether a file of `size` bytes is to go before a line of `adding` bytes is written.
    ///
    /// - Parameter begun: time of the file's first event; nil when nobody knows.
    func isDue(size: Int64, adding: Int, begun: Timestamp?, now: Timestamp) -> Bool {
        guard size > 0 else { return false }
        if let maxBytes, size + Int64(adding) > maxBytes { return true }
        if let maxAge, let begun { return begun.duration(to: now) >= maxAge }
        return false
    }
}
