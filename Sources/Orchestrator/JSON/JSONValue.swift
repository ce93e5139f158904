/// A JSON value (RFC 8259) and where it stands in the text it was read from, so that a part of a document can be kept
/// byte for byte.
public struct JSONNode: Sendable {
    public var value: JSONValue
    /// Of the value in the text, without the white space around it.
    public var range: Range<Int>
}

public indirect enum JSONValue: Sendable {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)
    case array([JSONNode])
    /// In the text's order. A key that comes twice is found by its last value, as most parsers have it.
    case object([(key: String, node: JSONNode)])

    /// What a person calls it, for messages.
    public var kind: String {
        switch self {
        case .null: "null"
        case .bool: "a boolean"
        case .number: "a number"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }
}

extension JSONNode {
    public subscript(key: String) -> JSONNode? {
        guard case .object(let members) = value else { return nil }
        return members.last { $0.key == key }?.node
    }
}

/// Where and why a text is not JSON.
public struct JSONError: Error, Equatable, CustomStringConvertible {
    public var offset: Int
    public var reason: String
    public var description: String { "\(reason) at byte \(offset)" }
}

extension JSONNode {
    /// Reads a whole text, which is one value with nothing but white space around it.
    public init(parsing text: [UInt8]) throws(JSONError) {
        var parser = JSONParser(text: text)
        self = try parser.document()
    }
}

/// Strict RFC 8259 with two limits: valid UTF-8, and at most 256 levels, so that no text exhausts the stack.
private struct JSONParser {
    static let deepest = 256

    let text: [UInt8]
    var at = 0

    init(text: [UInt8]) { self.text = text }

    mutating func document() throws(JSONError) -> JSONNode {
        skipSpace()
        let node = try value(depth: 0)
        skipSpace()
        guard at == text.count else { throw unexpected("text after the value") }
        return node
    }

    private var next: UInt8? { at < text.count ? text[at] : nil }

    private func unexpected(_ reason: String) -> JSONError { JSONError(offset: at, reason: reason) }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { at += 1 }
    }

    private mutating func value(depth: Int) throws(JSONError) -> JSONNode {
        guard depth < Self.deepest else { throw unexpected("more than \(Self.deepest) levels") }
        let start = at
        let value: JSONValue
        switch next {
        case nil: throw unexpected("the text ends where a value should be")
        case UInt8(ascii: "{"): value = try object(depth: depth)
        case UInt8(ascii: "["): value = try array(depth: depth)
        case UInt8(ascii: "\""): value = .string(try string())
        case UInt8(ascii: "t"): value = try word("true", .bool(true))
        case UInt8(ascii: "f"): value = try word("false", .bool(false))
        case UInt8(ascii: "n"): value = try word("null", .null)
        default: value = .number(try number())
        }
        return JSONNode(value: value, range: start..<at)
    }

    private mutating func word(_ word: StaticString, _ value: JSONValue) throws(JSONError) -> JSONValue {
        let bytes = UnsafeBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount)
        guard text[at...].starts(with: bytes) else { throw unexpected("an unknown word") }
        at += bytes.count
        return value
    }

    private mutating func object(depth: Int) throws(JSONError) -> JSONValue {
        at += 1
        var members: [(key: String, node: JSONNode)] = []
        skipSpace()
        if next == UInt8(ascii: "}") {
            at += 1
            return .object(members)
        }
        while true {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw unexpected("no key in quotes") }
            let key = try string()
            skipSpace()
            guard next == UInt8(ascii: ":") else { throw unexpected("no colon after the key") }
            at += 1
            skipSpace()
            members.append((key, try value(depth: depth + 1)))
            if try isLast(closing: UInt8(ascii: "}")) { return .object(members) }
        }
    }

    private mutating func array(depth: Int) throws(JSONError) -> JSONValue {
        at += 1
        var elements: [JSONNode] = []
        skipSpace()
        if next == UInt8(ascii: "]") {
            at += 1
            return .array(elements)
        }
        while true {
            skipSpace()
            elements.append(try value(depth: depth + 1))
            if try isLast(closing: UInt8(ascii: "]")) { return .array(elements) }
        }
    }

    private mutating func isLast(closing: UInt8) throws(JSONError) -> Bool {
        skipSpace()
        guard let byte = next, byte == closing || byte == UInt8(ascii: ",") else {
            throw unexpected("neither a comma nor the closing bracket")
        }
        at += 1
        return byte == closing
    }

    private mutating func string() throws(JSONError) -> String {
        let start = at
        at += 1
        var run = at
        var pieces: [UInt8] = []
        while let byte = next, byte != UInt8(ascii: "\"") {
            guard byte >= 0x20 else { throw unexpected("a control character in a string") }
            guard byte == UInt8(ascii: "\\") else {
                at += 1
                continue
            }
            pieces += text[run..<at]
            at += 1
            try escape(into: &pieces)
            run = at
        }
        guard next != nil else { throw JSONError(offset: start, reason: "a string without its closing quote") }
        let whole: String?
        if pieces.isEmpty {
            whole = String(validating: text[run..<at], as: UTF8.self)
        } else {
            pieces += text[run..<at]
            whole = String(validating: pieces, as: UTF8.self)
        }
        at += 1
        guard let whole else { throw JSONError(offset: start, reason: "a string that is not UTF-8") }
        return whole
    }

    private mutating func escape(into pieces: inout [UInt8]) throws(JSONError) {
        guard let byte = next else { throw unexpected("a string without its closing quote") }
        at += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): pieces.append(byte)
        case UInt8(ascii: "b"): pieces.append(0x08)
        case UInt8(ascii: "f"): pieces.append(0x0c)
        case UInt8(ascii: "n"): pieces.append(0x0a)
        case UInt8(ascii: "r"): pieces.append(0x0d)
        case UInt8(ascii: "t"): pieces.append(0x09)
        case UInt8(ascii: "u"):
            let first = try hex()
            var scalar = UInt32(first)
            if first >= 0xd800, first < 0xdc00 {
                guard text[at...].starts(with: [UInt8(ascii: "\\"), UInt8(ascii: "u")]) else {
                    throw unexpected("half a surrogate pair")
                }
                at += 2
                let second = try hex()
                guard second >= 0xdc00, second < 0xe000 else { throw unexpected("half a surrogate pair") }
                scalar = 0x10000 + (UInt32(first) - 0xd800) << 10 + (UInt32(second) - 0xdc00)
            }
            guard let scalar = Unicode.Scalar(scalar) else { throw unexpected("half a surrogate pair") }
            pieces += Array(String(Character(scalar)).utf8)
        default: throw unexpected("an unknown escape")
        }
    }

    private mutating func hex() throws(JSONError) -> UInt16 {
        guard at + 4 <= text.count, let digits = String(validating: text[at..<at + 4], as: UTF8.self),
            digits.allSatisfy(\.isHexDigit), let value = UInt16(digits, radix: 16)
        else { throw unexpected("no four hexadecimal digits") }
        at += 4
        return value
    }

    private mutating func number() throws(JSONError) -> Double {
        let start = at
        if next == UInt8(ascii: "-") { at += 1 }
        let whole = digits()
        guard whole > 0 else { throw JSONError(offset: start, reason: "no JSON value") }
        guard whole == 1 || text[at - whole] != UInt8(ascii: "0") else { throw unexpected("a number starting with 0") }
        if next == UInt8(ascii: ".") {
            at += 1
            guard digits() > 0 else { throw unexpected("no digit after the point") }
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            at += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { at += 1 }
            guard digits() > 0 else { throw unexpected("no digit in the exponent") }
        }
        guard let value = Double(String(decoding: text[start..<at], as: UTF8.self)) else {
            throw JSONError(offset: start, reason: "no JSON value")
        }
        return value
    }

    private mutating func digits() -> Int {
        let start = at
        while let byte = next, byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") { at += 1 }
        return at - start
    }
}
