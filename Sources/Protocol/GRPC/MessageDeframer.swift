/// Cuts a call's DATA into gRPC messages: one byte of flags, four of length, the message (PROTOCOL-HTTP2,
/// Length-Prefixed-Message). Pure: bytes in, messages or a status out. Holds at most one message of the limit.
public struct MessageDeframer: Sendable {
    public static let prefixLength = 5

    /// What came of some bytes.
    public enum Output: Equatable, Sendable {
        case needsMore
        case message([UInt8])
        case refused(Status)
    }

    private let limit: Int
    private let encoding: MessageEncoding
    private var buffer: [UInt8] = []
    private var consumed = 0

    /// Bytes that the last message took on the wire, its prefix included.
    public private(set) var lastWireLength = 0
    /// Whether the last message came compressed.
    public private(set) var lastWasCompressed = false

    /// - Parameters:
    ///   - limit: of one message, in bytes, without its prefix; also once it is unpacked.
    ///   - encoding: what a message whose flag says so is compressed with.
    public init(limit: Int, encoding: MessageEncoding = .identity) {
        self.limit = limit
        self.encoding = encoding
    }

    /// Bytes held back for an incomplete message.
    public var buffered: Int { buffer.count - consumed }

    public mutating func append(_ bytes: UnsafeRawBufferPointer) {
        if consumed == buffer.count {
            buffer.removeAll(keepingCapacity: true)
            consumed = 0
        }
        buffer.append(contentsOf: bytes)
    }

    /// The next complete message. A refusal is final for the call.
    public mutating func next() -> Output {
        guard buffered >= Self.prefixLength else { return .needsMore }
        let prefix = buffer.withUnsafeBytes { Prefix(UnsafeRawBufferPointer(rebasing: $0[consumed...])) }
        if let refusal = prefix.refusal(limit: limit, encoding: encoding) { return .refused(refusal) }
        let end = consumed + Self.prefixLength + prefix.length
        guard buffer.count >= end else {
            if buffer.capacity < end - consumed, consumed > 0 {
                buffer.removeFirst(consumed)
                consumed = 0
            }
            return .needsMore
        }
        let body = consumed + Self.prefixLength..<end
        lastWireLength = end - consumed
        lastWasCompressed = prefix.flags == 1
        consumed = end
        guard prefix.flags == 1 else { return .message(Array(buffer[body])) }
        return buffer.withUnsafeBytes { unpack(UnsafeRawBufferPointer(rebasing: $0[body])) }
    }

    /// A message that arrived whole in `bytes`, without a copy: what nearly every unary request is. nil when `bytes` is
    /// anything else; then `append` and `next` tell.
    public static func whole(_ bytes: UnsafeRawBufferPointer, limit: Int) -> UnsafeRawBufferPointer? {
        guard bytes.count >= prefixLength else { return nil }
        let prefix = Prefix(bytes)
        guard prefix.flags == 0, prefix.refusal(limit: limit, encoding: .identity) == nil,
            bytes.count == prefixLength + prefix.length
        else { return nil }
        return UnsafeRawBufferPointer(rebasing: bytes[prefixLength...])
    }

    private func unpack(_ bytes: UnsafeRawBufferPointer) -> Output {
        do throws(Gzip.Failure) {
            return .message(try Gzip.decompress(bytes, limit: limit))
        } catch .tooLarge {
            return .refused(
                Status(
                    .resourceExhausted,
                    "the request message has more than \(limit) bytes unpacked; that is the limit here"
                ).because("MESSAGE_TOO_LARGE", ["limit_bytes": "\(limit)"]))
        } catch {
            return .refused(Status(.internal, "the request message is marked as gzip and is not valid gzip"))
        }
    }

    private struct Prefix {
        var flags: UInt8
        var length: Int

        init(_ bytes: UnsafeRawBufferPointer) {
            flags = bytes[0]
            length = Int(UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 1, as: UInt32.self)))
        }

        func refusal(limit: Int, encoding: MessageEncoding) -> Status? {
            if flags == 1, encoding == .identity {
                return Status(
                    .internal, "a message is marked as compressed, but the call names no grpc-encoding; name gzip")
            }
            if flags > 1 {
                return Status(.internal, "the message prefix starts with byte \(flags); 0 or 1 is expected")
            }
            if length > limit {
                return Status(
                    .resourceExhausted, "the request message has \(length) bytes; this server accepts up to \(limit)"
                ).because("MESSAGE_TOO_LARGE", ["limit_bytes": "\(limit)", "bytes": "\(length)"])
            }
            return nil
        }
    }
}
