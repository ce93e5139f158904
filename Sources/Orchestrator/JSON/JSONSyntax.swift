/// Whether bytes are one JSON object in UTF-8 (RFC 8259, RFC 3629). A check without a tree: payloads are stored and
/// handed on as they came, so nothing needs their values here.
enum JSONSyntax {
    /// Deeper nesting is refused: some of the parsers behind us recurse.
    static let maxDepth = 256

    /// nil when `bytes` is one JSON object with nothing but white space around it, else what is wrong and where.
    static func objectDefect(_ bytes: [UInt8]) -> String? {
        bytes.withUnsafeBufferPointer { buffer -> String? in
            var scanner = Scanner(bytes: buffer)
            do throws(Defect) {
                try scanner.document()
                return nil
            } catch {
                return error.text
            }
        }
    }

    private struct Defect: Error {
        var text: String
    }

    private struct Scanner {
        let bytes: UnsafeBufferPointer<UInt8>
        var index = 0

        init(bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

        private var next: UInt8? { index < bytes.count ? bytes[index] : nil }

        private func defect(_ what: String) -> Defect {
            Defect(text: index < bytes.count ? "\(what) at byte \(index)" : "it ends too early (\(bytes.count) bytes)")
        }

        private mutating func skipSpace() {
            while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { index += 1 }
        }

        mutating func document() throws(Defect) {
            skipSpace()
            guard next == UInt8(ascii: "{") else { throw defect("it is not a JSON object: expected {") }
            try value(depth: 0)
            skipSpace()
            if next != nil { throw defect("there is more after the JSON object") }
        }

        private mutating func value(depth: Int) throws(Defect) {
            if depth >= JSONSyntax.maxDepth { throw defect("it nests deeper than \(JSONSyntax.maxDepth)") }
            switch next {
            case UInt8(ascii: "{"): try members(depth: depth)
            case UInt8(ascii: "["): try elements(depth: depth)
            case UInt8(ascii: "\""): try string()
            case UInt8(ascii: "t"): try word("true")
            case UInt8(ascii: "f"): try word("false")
            case UInt8(ascii: "n"): try word("null")
            default: try number()
            }
        }

        private mutating func members(depth: Int) throws(Defect) {
            index += 1
            skipSpace()
            if next == UInt8(ascii: "}") {
                index += 1
                return
            }
            while true {
                skipSpace()
                guard next == UInt8(ascii: "\"") else { throw defect("expected a key in double quotes") }
                try string()
                skipSpace()
                guard next == UInt8(ascii: ":") else { throw defect("expected :") }
                index += 1
                skipSpace()
                try value(depth: depth + 1)
                skipSpace()
                if next == UInt8(ascii: "}") { break }
                guard next == UInt8(ascii: ",") else { throw defect("expected , or }") }
                index += 1
            }
            index += 1
        }

        private mutating func elements(depth: Int) throws(Defect) {
            index += 1
            skipSpace()
            if next == UInt8(ascii: "]") {
                index += 1
                return
            }
            while true {
                skipSpace()
                try value(depth: depth + 1)
                skipSpace()
                if next == UInt8(ascii: "]") { break }
                guard next == UInt8(ascii: ",") else { throw defect("expected , or ]") }
                index += 1
            }
            index += 1
        }

        private mutating func word(_ word: StaticString) throws(Defect) {
            let length = word.utf8CodeUnitCount
            for offset in 0..<length {
                guard next == word.utf8Start[offset] else { throw defect("expected a JSON value") }
                index += 1
            }
        }

        private mutating func digits() throws(Defect) {
            guard let first = next, (0x30...0x39).contains(first) else { throw defect("expected a JSON value") }
            while let byte = next, (0x30...0x39).contains(byte) { index += 1 }
        }

        private mutating func number() throws(Defect) {
            if next == UInt8(ascii: "-") { index += 1 }
            if next == UInt8(ascii: "0") { index += 1 } else { try digits() }
            if next == UInt8(ascii: ".") {
                index += 1
                try digits()
            }
            if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
                index += 1
                if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { index += 1 }
                try digits()
            }
        }

        private mutating func string() throws(Defect) {
            index += 1
            while let byte = next {
                switch byte {
                case UInt8(ascii: "\""):
                    index += 1
                    return
                case UInt8(ascii: "\\"):
                    try escape()
                case 0..<0x20:
                    throw defect("a control character in a string (write it as \\u00XX)")
                case 0..<0x80:
                    index += 1
                default:
                    try scalar(lead: byte)
                }
            }
            throw defect("a string without its end")
        }

        private mutating func escape() throws(Defect) {
            index += 1
            switch next {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
                UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
                index += 1
            case UInt8(ascii: "u"):
                index += 1
                for _ in 0..<4 {
                    guard let digit = next, Character(Unicode.Scalar(digit)).isHexDigit else {
                        throw defect("expected four hexadecimal digits after \\u")
                    }
                    index += 1
                }
            default:
                throw defect("an unknown escape in a string")
            }
        }

        /// One non-ASCII scalar by the table of RFC 3629 section 4: no overlong forms, no surrogates, none past U+10FFFF.
        private mutating func scalar(lead: UInt8) throws(Defect) {
            let (trailing, second): (Int, ClosedRange<UInt8>)
            switch lead {
            case 0xC2...0xDF: (trailing, second) = (1, 0x80...0xBF)
            case 0xE0: (trailing, second) = (2, 0xA0...0xBF)
            case 0xED: (trailing, second) = (2, 0x80...0x9F)
            case 0xE1...0xEF: (trailing, second) = (2, 0x80...0xBF)
            case 0xF0: (trailing, second) = (3, 0x90...0xBF)
            case 0xF1...0xF3: (trailing, second) = (3, 0x80...0xBF)
            case 0xF4: (trailing, second) = (3, 0x80...0x8F)
            default: throw defect("it is not valid UTF-8")
            }
            index += 1
            for position in 0..<trailing {
                let allowed = position == 0 ? second : 0x80...0xBF
                guard let byte = next, allowed.contains(byte) else { throw defect("it is not valid UTF-8") }
                index += 1
            }
        }
    }
}
