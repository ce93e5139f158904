/// What libnghttp2 lets pass: frames on streams that are over, on those that were skipped, PRIORITY on no stream, and
/// frames of any length in a header block. It remembers no closed streams, for the memory's sake, and ignores such
/// frames; RFC 9113 lets it for most.
///
/// Here only the peer's own frames count, so that what was under way when the server ended a stream is no violation.
/// Of streams that ended long ago nothing is known, and what comes on them is ignored.
struct StreamOrder: Sendable {
    /// The error codes of RFC 9113 §7.
    enum Violation: UInt32, Sendable {
        case protocolError = 0x1
        case streamClosed = 0x5
        case frameSize = 0x6
    }

    /// SETTINGS_MAX_FRAME_SIZE, of which the server does not announce another.
    static let largestFrame = 1 << 14

    private var lastOpened: UInt32 = 0
    /// The peer opened no stream between these two.
    private var skipped: (after: UInt32, before: UInt32) = (0, 0)
    /// The last streams that the peer has ended or reset, as a ring. No SIMD: comparing one goes through memory, lane by
    /// lane.
    private var ended = InlineArray<8, UInt32>(repeating: 0)
    private var endedNext = 0

    mutating func began(type: UInt8, flags: UInt8, stream: UInt32, length: Int) -> Violation? {
        if length > Self.largestFrame { return .frameSize }  // §4.2
        switch type {
        case 0, 1:  // DATA, HEADERS
            guard stream != 0 else { return nil }
            if hasEnded(stream) { return .streamClosed }  // §5.1
            if type == 1, !opens(stream) { return .protocolError }
            if flags & Self.endStream != 0 { end(stream) }
        case 2:  // PRIORITY
            if stream == 0 { return .protocolError }  // §6.3
        case 3:  // RST_STREAM
            if stream <= lastOpened, !hasEnded(stream) { end(stream) }
        default:
            break
        }
        return nil
    }

    /// Whether HEADERS may come on the stream (§5.1.1).
    private mutating func opens(_ stream: UInt32) -> Bool {
        if stream > lastOpened {
            if stream - lastOpened > 2 { skipped = (lastOpened, stream) }
            lastOpened = stream
            return true
        }
        return stream <= skipped.after || stream >= skipped.before
    }

    private func hasEnded(_ stream: UInt32) -> Bool {
        var isThere = false
        for place in ended.indices { isThere = isThere || ended[place] == stream }
        return isThere
    }

    private mutating func end(_ stream: UInt32) {
        ended[endedNext] = stream
        endedNext = (endedNext + 1) % ended.count
    }

    private static let endStream: UInt8 = 0x1
}
