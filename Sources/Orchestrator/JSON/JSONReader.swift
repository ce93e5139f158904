/// The one reader of JSON: strict RFC 8259 with two limits, valid UTF-8 (RFC 3629) and at most 256 levels, so that no text
/// exhausts the stack. It passes over a text without allocating, and tells of the parts of one level where they stand, for
/// whoever wants them.
struct JSONReader {
    /// A string of the text, still with its escapes.
    struct Text {
        /// Of what is between the quotes.
        var range: Range<Int>
        var hasEscapes: Bool
    }

    static let deepest = 256

    private let bytes: UnsafeBufferPointer<UInt8>
    private(set) var at: Int

    /// - Parameter start: where a value, or white space before it, begins.
    init(_ bytes: UnsafeBufferPointer<UInt8>, at start: Int = 0) {
        self.bytes = bytes
        at = start
    }

    /// A whole text, which is one value with nothing but white space around it. Returns where the value is.
    mutating func document() throws(JSONError) -> Range<Int> {
        skipSpace()
        let start = at
        try value(depth: 0)
        let end = at
        skipSpace()
        guard at == bytes.count else { throw unexpected("text after the value") }
        return start..<end
    }

    /// Passes over one value.
    mutating func value(depth: Int) throws(JSONError) {
        guard depth < Self.deepest else { throw unexpected("more than \(Self.deepest) levels") }
        guard let byte = next else { throw unexpected("the text ends where a value should be") }
        switch byte {
        case UInt8(ascii: "\""): _ = try string()
        case UInt8(ascii: "{"): try members(depth: depth) { _, _ in }
        case UInt8(ascii: "["): try elements(depth: depth) { _ in }
        case UInt8(ascii: "t"): try word("true")
        case UInt8(ascii: "f"): try word("false")
        case UInt8(ascii: "n"): try word("null")
        default: try number()
        }
    }

    /// Passes over an object, and tells each member's key and where its value is.
    @inline(__always)
    mutating func members(depth: Int, _ each: (Text, Range<Int>) -> Void) throws(JSONError) {
        at += 1
        skipSpace()
        if next == UInt8(ascii: "}") {
            at += 1
            return
        }
        while true {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw unexpected("no key in quotes") }
            let key = try string()
            skipSpace()
            guard next == UInt8(ascii: ":") else { throw unexpected("no colon after the key") }
            at += 1
            skipSpace()
            let start = at
            try value(depth: depth + 1)
            each(key, start..<at)
            if try isLast(closing: UInt8(ascii: "}")) { return }
        }
    }

    /// Passes over an array, and tells where each element is.
    @inline(__always)
    mutating func elements(depth: Int, _ each: (Range<Int>) -> Void) throws(JSONError) {
        at += 1
        skipSpace()
        if next == UInt8(ascii: "]") {
            at += 1
            return
        }
        while true {
            skipSpace()
            let start = at
            try value(depth: depth + 1)
            each(start..<at)
            if try isLast(closing: UInt8(ascii: "]")) { return }
        }
    }

    /// Passes over a string.
    mutating func string() throws(JSONError) -> Text {
        let start = at
        var index = start + 1
        var hasEscapes = false
        while true {
            index = endOfPlainText(from: index)
            guard index < bytes.count else {
                throw JSONError(offset: start, reason: "a string without its closing quote")
            }
            let byte = bytes[index]
            if byte == UInt8(ascii: "\"") {
                at = index + 1
                return Text(range: (start + 1)..<index, hasEscapes: hasEscapes)
            }
            at = index
            if byte == UInt8(ascii: "\\") {
                hasEscapes = true
                at += 1
                _ = try escape()
            } else if byte < 0x20 {
                throw unexpected("a control character in a string")
            } else {
                try scalar(lead: byte, stringAt: start)
            }
            index = at
        }
    }

    /// What a string says.
    func decoded(_ text: Text) -> String {
        guard text.hasEscapes else {
            return String(decoding: UnsafeBufferPointer(rebasing: bytes[text.range]), as: UTF8.self)
        }
        // What an escape stands for is never longer than itself.
        return String(unsafeUninitializedCapacity: text.range.count) { target in
            var reader = self
            reader.at = text.range.lowerBound
            var count = 0
            while true {
                let rest = bytes[reader.at..<text.range.upperBound]
                let end = rest.firstIndex(of: UInt8(ascii: "\\")) ?? text.range.upperBound
                count = target[count...].initialize(fromContentsOf: bytes[reader.at..<end])
                reader.at = end + 1
                // The text was read before.
                guard end < text.range.upperBound, let scalar = try? reader.escape() else { return count }
                for unit in Unicode.UTF8.encode(scalar) ?? Unicode.UTF8.encodedReplacementCharacter {
                    target.initializeElement(at: count, to: unit)
                    count += 1
                }
            }
        }
    }

    // MARK: - Parts

    private var next: UInt8? { at < bytes.count ? bytes[at] : nil }

    private func unexpected(_ reason: String) -> JSONError { JSONError(offset: at, reason: reason) }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { at += 1 }
    }

    private mutating func isLast(closing: UInt8) throws(JSONError) -> Bool {
        skipSpace()
        guard let byte = next, byte == closing || byte == UInt8(ascii: ",") else {
            throw unexpected("neither a comma nor the closing bracket")
        }
        at += 1
        return byte == closing
    }

    private mutating func word(_ word: StaticString) throws(JSONError) {
        let letters = UnsafeBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount)
        guard bytes.count - at >= letters.count, bytes[at..<(at + letters.count)].elementsEqual(letters) else {
            throw unexpected("an unknown word")
        }
        at += letters.count
    }

    /// Where ASCII that stands for itself ends: eight bytes are looked at together.
    @inline(__always)
    private func endOfPlainText(from start: Int) -> Int {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let high: UInt64 = 0x8080_8080_8080_8080
        var index = start
        while index &+ 8 <= bytes.count {
            let eight = UnsafeRawPointer(bytes.baseAddress! + index).loadUnaligned(as: UInt64.self).littleEndian
            // The highest bit of each byte that is 0x80 or more, a quote, a backslash, or below 0x20. A borrow may set one
            // too many, but only above one that is right.
            let quotes = eight ^ (ones &* 0x22)
            let backslashes = eight ^ (ones &* 0x5c)
            let special =
                (eight | ((quotes &- ones) & ~quotes) | ((backslashes &- ones) & ~backslashes)
                    | ((eight &- (ones &* 0x20)) & ~eight)) & high
            if special != 0 { return index &+ special.trailingZeroBitCount / 8 }
            index &+= 8
        }
        while index < bytes.count {
            let byte = bytes[index]
            if byte < 0x20 || byte >= 0x80 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { break }
            index &+= 1
        }
        return index
    }

    /// What follows a backslash.
    private mutating func escape() throws(JSONError) -> Unicode.Scalar {
        guard let byte = next else { throw unexpected("a string without its closing quote") }
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"):
            at += 1
            return Unicode.Scalar(byte)
        case UInt8(ascii: "b"): return simple(0x08)
        case UInt8(ascii: "f"): return simple(0x0c)
        case UInt8(ascii: "n"): return simple(0x0a)
        case UInt8(ascii: "r"): return simple(0x0d)
        case UInt8(ascii: "t"): return simple(0x09)
        case UInt8(ascii: "u"):
            at += 1
            return try codeUnits()
        default: throw unexpected("an unknown escape")
        }
    }

    private mutating func simple(_ control: UInt8) -> Unicode.Scalar {
        at += 1
        return Unicode.Scalar(control)
    }

    private mutating func codeUnits() throws(JSONError) -> Unicode.Scalar {
        let first = try hex()
        var code = UInt32(first)
        if first >= 0xd800, first < 0xdc00 {
            guard at + 1 < bytes.count, bytes[at] == UInt8(ascii: "\\"), bytes[at + 1] == UInt8(ascii: "u") else {
                throw unexpected("half a surrogate pair")
            }
            at += 2
            let second = try hex()
            guard second >= 0xdc00, second < 0xe000 else { throw unexpected("half a surrogate pair") }
            code = 0x10000 + (UInt32(first) - 0xd800) << 10 + (UInt32(second) - 0xdc00)
        }
        guard let scalar = Unicode.Scalar(code) else { throw unexpected("half a surrogate pair") }
        return scalar
    }

    private mutating func hex() throws(JSONError) -> UInt16 {
        var value: UInt16 = 0
        for offset in 0..<4 {
            guard at + offset < bytes.count, let digit = Self.digit(bytes[at + offset]) else {
                throw unexpected("no four hexadecimal digits")
            }
            value = value << 4 | digit
        }
        at += 4
        return value
    }

    private static func digit(_ byte: UInt8) -> UInt16? {
        switch byte {
        case 0x30...0x39: UInt16(byte - 0x30)
        case 0x41...0x46: UInt16(byte - 0x41 + 10)
        case 0x61...0x66: UInt16(byte - 0x61 + 10)
        default: nil
        }
    }

    /// One non-ASCII scalar by the table of RFC 3629 section 4: no overlong forms, no surrogates, none past U+10FFFF.
    private mutating func scalar(lead: UInt8, stringAt start: Int) throws(JSONError) {
        let (trailing, second): (Int, ClosedRange<UInt8>)
        switch lead {
        case 0xC2...0xDF: (trailing, second) = (1, 0x80...0xBF)
        case 0xE0: (trailing, second) = (2, 0xA0...0xBF)
        case 0xED: (trailing, second) = (2, 0x80...0x9F)
        case 0xE1...0xEF: (trailing, second) = (2, 0x80...0xBF)
        case 0xF0: (trailing, second) = (3, 0x90...0xBF)
        case 0xF1...0xF3: (trailing, second) = (3, 0x80...0xBF)
        case 0xF4: (trailing, second) = (3, 0x80...0x8F)
        default: throw JSONError(offset: start, reason: "a string that is not UTF-8")
        }
        at += 1
        for position in 0..<trailing {
            let allowed = position == 0 ? second : 0x80...0xBF
            guard let byte = next, allowed.contains(byte) else {
                throw JSONError(offset: start, reason: "a string that is not UTF-8")
            }
            at += 1
        }
    }

    private mutating func number() throws(JSONError) {
        let start = at
        if next == UInt8(ascii: "-") { at += 1 }
        let whole = digits()
        guard whole > 0 else { throw JSONError(offset: start, reason: "no JSON value") }
        guard whole == 1 || bytes[at - whole] != UInt8(ascii: "0") else { throw unexpected("a number starting with 0") }
        if next == UInt8(ascii: ".") {
            at += 1
            guard digits() > 0 else { throw unexpected("no digit after the point") }
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            at += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { at += 1 }
            guard digits() > 0 else { throw unexpected("no digit in the exponent") }
        }
    }

    private mutating func digits() -> Int {
        let start = at
        while let byte = next, byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") { at += 1 }
        return at - start
    }
}
