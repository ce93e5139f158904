import Orchestrator
import Synchronization

/// Events in the format of WHATWG HTML §9.2, "Server-sent events". Each that many subscribers are at is written once and
/// kept for a while.
final class ServerSentEvents: Sendable {
    /// Bytes kept, about.
    private static let keptBytes = 4 << 20

    private let kept = Mutex<(images: [UInt64: [UInt8]], bytes: Int)>(([:], 0))

    var encoding: EventFollower.Encoding {
        EventFollower.Encoding(recent: { self.image($0) }, old: { Self.image($0) })
    }

    private func image(_ event: Event) -> [UInt8] {
        if let image = kept.withLock({ $0.images[event.sequence] }) { return image }
        let image = Self.image(event)
        kept.withLock { kept in
            // Subscribers are nearly all at the newest events: starting again costs each of those one more encoding.
            if kept.bytes > Self.keptBytes { kept = ([:], 0) }
            if kept.images.updateValue(image, forKey: event.sequence) == nil { kept.bytes += image.count }
        }
        return image
    }

    /// The sequence as the id, so that a browser that connects again says where it was. No `event:` field, so that one
    /// listener gets every type, those that are not known yet too.
    static func image(_ event: Event) -> [UInt8] {
        var json = JSONWriter()
        json.event(event)
        var bytes = Array("id: \(event.sequence)\n".utf8)
        // An agent's JSON may have line ends between its tokens.
        for line in json.bytes.split(whereSeparator: { $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") }) {
            bytes += Array("data: ".utf8) + line + [UInt8(ascii: "\n")]
        }
        bytes.append(UInt8(ascii: "\n"))
        return bytes
    }

    /// What a client that lost the connection waits before it comes again, in milliseconds, and a first byte, so that
    /// every proxy passes the headers on.
    static let opening = Array("retry: 1000\n: events follow\n\n".utf8)
    /// Keeps what stands between from closing a quiet connection, and finds out that a client has left.
    static let heartbeat = Array(": nothing new\n\n".utf8)
    static let closing = Array("retry: 1000\n: the server is stopping; come again with Last-Event-ID\n\n".utf8)
    static let failing = Array("retry: 5000\n: the events can't be read now; come again with Last-Event-ID\n\n".utf8)
}
