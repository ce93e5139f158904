/// A JSON value (RFC 8259) and where it stands in the text it was read from, so that a part of a document can be kept
/// byte for byte. The text was checked once, and whole; of what it holds only that is taken out which somebody asks for,
/// one level at a time.
public struct JSONNode: Sendable {
    /// The whole document.
    private let text: [UInt8]
    /// Of the value in the text, without the white space around it.
    public let range: Range<Int>

    init(text: [UInt8], range: Range<Int>) {
        self.text = text
        self.range = range
    }

    /// Reads a whole text, which is one value with nothing but white space around it.
    public init(parsing text: [UInt8]) throws(JSONError) {
        self.init(text: text, range: try Self.check(text))
    }

    /// The same for a text that has to be an object.
    init(parsingObject text: [UInt8]) throws(JSONError) {
        try self.init(parsing: text)
        if !isObject { throw JSONError(offset: range.lowerBound, reason: "\(value.kind) instead of an object") }
    }

    private static func check(_ text: [UInt8]) throws(JSONError) -> Range<Int> {
        let result = text.withUnsafeBufferPointer { bytes in
            var reader = JSONReader(bytes)
            return Result { () throws(JSONError) in try reader.document() }
        }
        return try result.get()
    }

    public var isObject: Bool { text[range.lowerBound] == UInt8(ascii: "{") }

    public var isNull: Bool { text[range.lowerBound] == UInt8(ascii: "n") }

    /// Takes out its level: an object's members and an array's elements are nodes in turn.
    public var value: JSONValue {
        text.withUnsafeBufferPointer { bytes in
            var reader = JSONReader(bytes, at: range.lowerBound)
            switch bytes[range.lowerBound] {
            case UInt8(ascii: "{"):
                var members: [(key: String, node: JSONNode)] = []
                Self.checked { () throws(JSONError) in
                    try reader.members(depth: 0) { key, range in
                        members.append((JSONReader(bytes).decoded(key), JSONNode(text: text, range: range)))
                    }
                }
                return .object(members)
            case UInt8(ascii: "["):
                var elements: [JSONNode] = []
                Self.checked { () throws(JSONError) in
                    try reader.elements(depth: 0) { elements.append(JSONNode(text: text, range: $0)) }
                }
                return .array(elements)
            case UInt8(ascii: "\""):
                return .string(Self.checked { () throws(JSONError) in reader.decoded(try reader.string()) })
            case UInt8(ascii: "t"): return .bool(true)
            case UInt8(ascii: "f"): return .bool(false)
            case UInt8(ascii: "n"): return .null
            default:
                // Each number of JSON is one of Swift's, if perhaps an infinite one.
                let digits = String(decoding: UnsafeBufferPointer(rebasing: bytes[range]), as: UTF8.self)
                return .number(Double(digits) ?? .nan)
            }
        }
    }

    /// The member of an object; nil for what is none. A key that comes twice is found by its last value, as most parsers
    /// have it. Passes over the object each time: whoever wants several asks `members`.
    public subscript(key: String) -> JSONNode? { members[key] }

    /// Of an object; none for what is no object.
    public var members: JSONMembers {
        var members: [JSONMembers.Member] = []
        if isObject {
            text.withUnsafeBufferPointer { bytes in
                var reader = JSONReader(bytes, at: range.lowerBound)
                Self.checked { () throws(JSONError) in
                    try reader.members(depth: 0) { members.append((key: $0, value: $1)) }
                }
            }
        }
        return JSONMembers(text: text, members: members)
    }

    /// The text was read whole before there was a node of it.
    private static func checked<Value>(_ body: () throws(JSONError) -> Value) -> Value {
        do {
            return try body()
        } catch {
            preconditionFailure("a text that was read once can't be read again: \(error)")
        }
    }
}
