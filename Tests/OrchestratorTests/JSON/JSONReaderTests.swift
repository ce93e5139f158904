import Testing

@testable import Orchestrator

@Suite struct JSONReaderTests {
    @Test(arguments: [
        "{}", " [1, -2.5e3, 0.1, \"a\\u00e9\\ud83d\\ude00\\n\", true, false, null] ", "{\"a\":{\"b\":[[]]}}", "3",
        "\"x\"",
    ])
    func `takes JSON`(text: String) throws {
        _ = try JSONNode(parsing: Array(text.utf8))
    }

    @Test(arguments: [
        "", " ", "{", "[1,]", "{\"a\" 1}", "{a:1}", "01", "1.", "-", "+1", "1e", "tru", "\"a", "\"\\x\"", "\"\\ud800\"",
        "\"\u{1}\"", "[] []", "NaN", "'a'", "{\"a\":1,}",
    ])
    func `refuses what is not JSON`(text: String) {
        #expect(throws: JSONError.self) { try JSONNode(parsing: Array(text.utf8)) }
    }

    @Test func `refuses invalid UTF-8`() {
        #expect(throws: JSONError.self) { try JSONNode(parsing: [0x22, 0xff, 0x22]) }
    }

    @Test func `refuses depth that would exhaust the stack`() {
        let deep = [UInt8](repeating: UInt8(ascii: "["), count: 1_000_000)
        #expect(throws: JSONError.self) { try JSONNode(parsing: deep) }
    }

    private func error(_ text: [UInt8]) -> String? {
        do {
            _ = try JSONNode(parsing: text)
            return nil
        } catch {
            return error.description
        }
    }

    /// Eight bytes of a string are looked at together, and what is left one by one.
    @Test func `what is special in a string is seen wherever it stands`() {
        for length in 0..<20 {
            for place in 0..<max(1, length) {
                func text(_ special: [UInt8]) -> [UInt8] {
                    var plain = [UInt8](repeating: 0x7f, count: length)
                    plain.replaceSubrange(place..<min(length, place + 1), with: special)
                    return [0x22] + plain + [0x22]
                }
                #expect(error(text([0x1f])) == "a control character in a string at byte \(place + 1)")
                #expect(error(text([0x5c, 0x78])) == "an unknown escape at byte \(place + 2)")
                #expect(error(text([0xff])) == "a string that is not UTF-8 at byte 0")
                #expect(error(text([0x22]))?.hasPrefix("text after the value") == true)
                for good: [UInt8] in [[0x20], [0x21], [0x5c, 0x6e], Array("é".utf8), Array("😀".utf8)] {
                    #expect(error(text(good)) == nil)
                }
            }
        }
    }

    @Test(
        arguments: [
            [0xC0, 0x80], [0xC1, 0xBF], [0xE0, 0x9F, 0xBF], [0xED, 0xA0, 0x80], [0xF0, 0x8F, 0xBF, 0xBF],
            [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80, 0x80, 0x80], [0x80], [0xE2, 0x82],
        ] as [[UInt8]])
    func `what RFC 3629 forbids is refused`(bytes: [UInt8]) {
        #expect(error([0x22] + bytes + [0x22]) == "a string that is not UTF-8 at byte 0")
    }

    @Test(arguments: [
        ("", "the text ends where a value should be at byte 0"), ("nul", "an unknown word at byte 0"),
        ("\"a", "a string without its closing quote at byte 0"), ("\"\\ud800x\"", "half a surrogate pair at byte 7"),
        ("\"\\udc00\"", "half a surrogate pair at byte 7"), ("\"\\u12\"", "no four hexadecimal digits at byte 3"),
        ("[1 2]", "neither a comma nor the closing bracket at byte 3"),
        ("{\"a\",1}", "no colon after the key at byte 4"),
        ("01", "a number starting with 0 at byte 2"), ("-", "no JSON value at byte 0"),
        ("1.e", "no digit after the point at byte 2"), ("1e+", "no digit in the exponent at byte 3"),
    ])
    func `a defect is told with its place`(text: String, defect: String) {
        #expect(error(Array(text.utf8)) == defect)
    }

    @Test func `values may nest 256 levels deep, and no deeper`() {
        func nested(_ levels: Int) -> [UInt8] {
            [UInt8](repeating: UInt8(ascii: "["), count: levels) + [UInt8](repeating: UInt8(ascii: "]"), count: levels)
        }
        #expect(error(nested(256)) == nil)
        #expect(error(nested(257)) == "more than 256 levels at byte 256")
    }
}
