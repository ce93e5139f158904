/// Follows the frames in a peer's bytes, however they are cut: only the nine bytes before each payload are looked at
/// (RFC 9113 §4.1). What it tells is for policies; libnghttp2 judges whether the frames are lawful, but for what
/// `StreamOrder` knows.
struct FrameScanner: Sendable {
    /// What a stretch of bytes brought, by what it costs whom.
    struct Tally: Equatable, Sendable {
        /// PINGs that want an answer.
        var pings = 0
        /// Frames that begin, carry or end calls.
        var useful = 0
        /// Frames that move nothing.
        var idle = 0
        var hasSettings = false
        /// What libnghttp2 would let pass, the first of it.
        var violation: StreamOrder.Violation?
    }

    static let prefaceLength = 24
    private static let headerLength = 9

    /// Bytes of the preface, then of the current frame's payload, that are still to come.
    private var skip = prefaceLength
    private var header: (UInt64, UInt64) = (0, 0)
    private var headerFilled = 0
    private var isInHeaderBlock = false
    private var order = StreamOrder()
    /// Frames begun, the preface among them; a header block of several frames is one.
    private var begun: UInt64 = 1
    /// The highest stream the peer has opened.
    private(set) var lastStream: UInt32 = 0

    /// Which frame or header block has begun and is not whole.
    var unfinished: UInt64? { skip > 0 || headerFilled > 0 || isInHeaderBlock ? begun : nil }

    mutating func scan(_ bytes: UnsafeRawBufferPointer) -> Tally {
        var tally = Tally()
        var place = 0
        while place < bytes.count {
            if skip > 0 {
                let part = min(skip, bytes.count - place)
                skip -= part
                place += part
                continue
            }
            if headerFilled == 0 {
                if !isInHeaderBlock { begun &+= 1 }
                if bytes.count - place >= Self.headerLength {
                    began(UnsafeRawBufferPointer(rebasing: bytes[place..<(place + Self.headerLength)]), &tally)
                    place += Self.headerLength
                    continue
                }
            }
            withUnsafeMutableBytes(of: &header) { $0[headerFilled] = bytes[place] }
            headerFilled += 1
            place += 1
            if headerFilled == Self.headerLength {
                headerFilled = 0
                let whole = header
                withUnsafeBytes(of: whole) { began($0, &tally) }
            }
        }
        return tally
    }

    private mutating func began(_ header: UnsafeRawBufferPointer, _ tally: inout Tally) {
        let length = Int(header[0]) << 16 | Int(header[1]) << 8 | Int(header[2])
        let flags = header[4]
        let stream = header.loadUnaligned(fromByteOffset: 5, as: UInt32.self).bigEndian & 0x7FFF_FFFF
        skip = length
        let violation = order.began(type: header[3], flags: flags, stream: stream, length: length)
        if tally.violation == nil { tally.violation = violation }
        switch header[3] {
        case 0:  // DATA
            if length > 0 || flags & Self.endStream != 0 { tally.useful += 1 } else { tally.idle += 1 }
        case 1:  // HEADERS
            tally.useful += 1
            isInHeaderBlock = flags & Self.endHeaders == 0
            lastStream = max(lastStream, stream)
        case 9:  // CONTINUATION: libnghttp2 counts them
            isInHeaderBlock = flags & Self.endHeaders == 0
        case 3:  // RST_STREAM has a limit of its own
            break
        case 4:  // SETTINGS
            if flags & Self.ack != 0 { break }
            tally.hasSettings = true
            tally.idle += 1
        case 6:  // PING
            if flags & Self.ack == 0 { tally.pings += 1 }
        default:  // PRIORITY, GOAWAY, WINDOW_UPDATE, what extensions there may be
            tally.idle += 1
        }
    }

    private static let endStream: UInt8 = 0x1
    private static let ack: UInt8 = 0x1
    private static let endHeaders: UInt8 = 0x4
}
