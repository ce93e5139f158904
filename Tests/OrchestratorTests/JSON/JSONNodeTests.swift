import Testing

@testable import Orchestrator

@Suite struct JSONNodeTests {
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

    private func node(_ text: String) throws -> JSONNode { try JSONNode(parsing: Array(text.utf8)) }

    @Test func `a key that comes twice is found by its last value, and listed each time`() throws {
        let node = try node(#"{"a": 1, "b": 2, "\u0061": 3}"#)
        guard case .number(3)? = node["a"]?.value, case .object(let members) = node.value else {
            Issue.record("not the last")
            return
        }
        #expect(members.map(\.key) == ["a", "b", "a"])
        #expect(node["c"] == nil && node[""] == nil && node["ab"] == nil)
    }

    @Test func `a key is another when its bytes are, however it looks`() throws {
        let composed = try node("{\"\u{e9}\": 1}")
        #expect(composed["\u{e9}"] != nil && composed["e\u{301}"] == nil)
    }

    @Test func `what is no object has no members`() throws {
        for text in ["[1]", "1", "\"a\"", "null", "true"] { #expect(try node(text)["a"] == nil) }
    }

    @Test func `parts are nodes in turn, with their places in the whole text`() throws {
        let text = #" {"a": [true, {"b": -0.5e1}, "x\ty", null]}"#
        guard case .array(let elements)? = try node(text)["a"]?.value, elements.count == 4 else {
            Issue.record("no array")
            return
        }
        guard case .bool(true) = elements[0].value, case .number(-5)? = elements[1]["b"]?.value,
            case .string("x\ty") = elements[2].value, elements[3].isNull, elements[1].isObject
        else {
            Issue.record("other values")
            return
        }
        #expect(String(decoding: Array(text.utf8)[elements[1].range], as: UTF8.self) == #"{"b": -0.5e1}"#)
    }

    @Test(arguments: [
        ("[{}]", "an array instead of an object at byte 0"), ("  7", "a number instead of an object at byte 2"),
        ("{", "no key in quotes at byte 1"), ("{} x", "text after the value at byte 3"),
    ])
    func `a text that is no object says what it is`(text: String, defect: String) {
        let error = #expect(throws: JSONError.self) { try JSONNode(parsingObject: Array(text.utf8)) }
        #expect(error?.description == defect)
    }

    /// Every part of what was taken can be taken out: nothing in it traps.
    @Test(arguments: SeededRandom.seeds) func `whatever is taken can be read to its last part`(seed: UInt64) {
        func walk(_ node: JSONNode) {
            switch node.value {
            case .object(let members):
                for (_, part) in members { walk(part) }
                for (key, _) in members { #expect(node[key] != nil) }
            case .array(let elements): elements.forEach(walk)
            default: break
            }
        }
        var random = SeededRandom(seed: seed)
        let start = Array(#"{"a\u00e9\ud83d\ude00": [1.5e-3, "x\\", {"é": null}, true, []], "b": {"": "😀"}}"#.utf8)
        for _ in 0..<2_000 {
            var text = start
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let place = Int.random(in: text.indices, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: text[place] = start.randomElement(using: &random) ?? 0
                case 1: text.remove(at: place)
                default: text.insert(start.randomElement(using: &random) ?? 0, at: place)
                }
            }
            if let node = try? JSONNode(parsing: text) { walk(node) }
        }
    }
}
