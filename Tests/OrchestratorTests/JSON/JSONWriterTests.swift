import Foundation
import Testing

@testable import Orchestrator

@Suite struct JSONWriterTests {
    @Test func `nested values get their commas`() {
        var json = JSONWriter()
        json.object { json in
            json.key("a")
            json.integer(1)
            json.key("b")
            json.array { json in
                json.bool(true)
                json.null()
                json.object { _ in }
                json.array { _ in }
            }
            json.key("c")
            json.raw(Array(#"{ "as":  "it stands" }"#.utf8))
            json.key("d")
            json.number(0.5)
        }
        #expect(
            String(decoding: json.bytes, as: UTF8.self)
                == #"{"a":1,"b":[true,null,{},[]],"c":{ "as":  "it stands" },"d":0.5}"#)
    }

    @Test func `any string is read back as it was`() throws {
        let all = String(String.UnicodeScalarView((0..<0x180).compactMap(Unicode.Scalar.init)))
        for text in [all, "", "\"\\/", "é 😀 \u{2028} e\u{301}", "\0\u{1F}\u{7F}"] {
            var json = JSONWriter()
            json.object {
                $0.key(text)
                $0.string(text)
            }
            let read = try JSONSerialization.jsonObject(with: Data(json.bytes)) as? [String: String]
            #expect(read?.first?.key.unicodeScalars.elementsEqual(text.unicodeScalars) == true)
            #expect(read?.first?.value.unicodeScalars.elementsEqual(text.unicodeScalars) == true)
        }
    }

    @Test func `what JSON has no number for is null`() {
        var json = JSONWriter()
        json.array {
            $0.number(.nan)
            $0.number(.infinity)
        }
        #expect(String(decoding: json.bytes, as: UTF8.self) == "[null,null]")
    }
}
