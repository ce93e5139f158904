import Testing

@testable import Protocol

struct Base64Tests {
    // RFC 4648 §10, without its padding.
    @Test(arguments: [
        ("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("fooba", "Zm9vYmE"),
        ("foobar", "Zm9vYmFy"),
    ])
    func `the RFC's vectors, unpadded`(text: String, encoded: String) {
        #expect(String(decoding: Base64.encode(Array(text.utf8)), as: UTF8.self) == encoded)
    }

    @Test func `bytes beyond ASCII use the standard alphabet`() {
        #expect(String(decoding: Base64.encode([0xFB, 0xFF, 0xFE, 0x00]), as: UTF8.self) == "+//+AA")
    }
}
