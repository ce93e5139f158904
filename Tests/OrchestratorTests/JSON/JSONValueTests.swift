import Testing

@testable import Orchestrator

@Suite struct JSONValueTests {
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

    @Test func `keeps a value's exact text by its range`() throws {
        let text = Array("{\"id\":\"a\", \"payload\" : {\"n\": 12345678901234567890} }".utf8)
        let payload = try #require(try JSONNode(parsing: text)["payload"])
        #expect(String(decoding: text[payload.range], as: UTF8.self) == "{\"n\": 12345678901234567890}")
    }

    @Test func `a quoted string reads back as itself`() throws {
        let odd = "a\"\\\n\u{1}é😀\u{7f}"
        guard case .string(let back) = try JSONNode(parsing: Array(odd.asJSON.utf8)).value else {
            Issue.record("not a string")
            return
        }
        #expect(back == odd)
    }
}
