/// Counts the messages in a run of framed bytes that may be cut anywhere, by walking their prefixes.
public struct MessageCounter: Sendable {
    /// Bytes of the current message's prefix seen so far, and its length as far as it is known.
    private var prefixSeen = 0
    private var length = 0
    /// Bytes of the current message that are still to come.
    private var remaining = 0
    /// How many of the bytes counted last stand before the end of the last message in them; 0 when none ends there.
    public private(set) var lastEnd = 0

    /// The last byte counted was the last of a message, or there was none.
    public var isBetweenMessages: Bool { remaining == 0 && prefixSeen == 0 }

    public init() {}

    /// - Returns: how many messages end in these bytes.
    public mutating func count(_ bytes: UnsafeRawBufferPointer) -> Int {
        var count = 0
        var index = 0
        lastEnd = 0
        while index < bytes.count {
            if remaining > 0 {
                let step = min(remaining, bytes.count - index)
                remaining -= step
                index += step
                if remaining == 0 {
                    count += 1
                    lastEnd = index
                }
                continue
            }
            // The first byte is flags; the other four are the length.
            if prefixSeen > 0 { length = length << 8 | Int(bytes[index]) }
            prefixSeen += 1
            index += 1
            guard prefixSeen == MessageDeframer.prefixLength else { continue }
            remaining = length
            if length == 0 {
                count += 1
                lastEnd = index
            }
            (prefixSeen, length) = (0, 0)
        }
        return count
    }
}
