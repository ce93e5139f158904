/// Header fields that a call carries beside its messages. Names are lower-case; one that ends in `-bin` has bytes, the
/// others text of visible ASCII (PROTOCOL-HTTP2, Custom-Metadata). Fields keep their order, and names may repeat.
public struct Metadata: Sendable, Equatable {
    public enum Value: Sendable, Equatable {
        case text(String)
        case binary([UInt8])
    }

    public struct Field: Sendable, Equatable {
        public let name: String
        public let value: Value
    }

    /// What the protocol itself uses, and HTTP/2 forbids or means otherwise.
    private static let reserved: Set<String> = [
        "te", "content-type", "content-length", "connection", "host", "transfer-encoding", "upgrade", "keep-alive",
        "proxy-connection",
    ]

    /// Most fields that go out with one set of headers.
    public static let mostFields = 60

    public private(set) var fields: [Field] = []

    public init() {}

    /// Adds a field that came in; what is the protocol's own, or no valid base64, is passed over.
    public mutating func receive(_ name: String, _ value: UnsafeRawBufferPointer) {
        guard !name.hasPrefix(":"), !name.hasPrefix("grpc-"), !Self.reserved.contains(name) else { return }
        guard name.hasSuffix("-bin") else {
            fields.append(Field(name: name, value: .text(String(decoding: value, as: UTF8.self))))
            return
        }
        // Several values of one name may have been joined by commas on the way.
        for part in value.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
            guard let bytes = Base64.decode(UnsafeRawBufferPointer(rebasing: part)) else { continue }
            fields.append(Field(name: name, value: .binary(bytes)))
        }
    }

    /// Adds a field to go out.
    /// - Returns: false when it can't: the name is reserved or has other characters than `a-z 0-9 _ - .`, the value is not
    ///   visible ASCII, or there are too many.
    @discardableResult
    public mutating func add(_ name: String, _ value: String) -> Bool {
        guard !name.hasSuffix("-bin"), value.utf8.allSatisfy({ $0 >= 0x20 && $0 <= 0x7E }) else { return false }
        return append(name, .text(value))
    }

    /// Adds a field of bytes to go out; its name ends in `-bin`.
    @discardableResult
    public mutating func add(_ name: String, bytes: [UInt8]) -> Bool {
        name.hasSuffix("-bin") && append(name, .binary(bytes))
    }

    private mutating func append(_ name: String, _ value: Value) -> Bool {
        let isName =
            !name.isEmpty
            && name.utf8.allSatisfy { byte in
                (byte >= UInt8(ascii: "a") && byte <= UInt8(ascii: "z"))
                    || (byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9"))
                    || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".")
            }
        guard isName, !name.hasPrefix("grpc-"), !Self.reserved.contains(name), fields.count < Self.mostFields else {
            return false
        }
        fields.append(Field(name: name, value: value))
        return true
    }

    /// Every value of a name, in order.
    public subscript(name: String) -> [Value] { fields.filter { $0.name == name }.map(\.value) }

    /// The first text of a name.
    public func text(_ name: String) -> String? {
        for field in fields where field.name == name {
            if case .text(let text) = field.value { return text }
        }
        return nil
    }
}
