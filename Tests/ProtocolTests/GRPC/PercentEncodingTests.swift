import Protocol
import Testing

struct PercentEncodingTests {
    private func encode(_ message: String, atMost limit: Int = .max) -> String {
        String(decoding: PercentEncoding.encode(message, atMost: limit), as: UTF8.self)
    }

    @Test func `printable ASCII stands for itself, but the percent sign`() {
        #expect(encode("job \"a\" is 100% ~done~") == "job \"a\" is 100%25 ~done~")
    }

    @Test func `control characters and UTF-8 are escaped byte by byte`() {
        #expect(encode("a\r\n\u{7F}é€😀") == "a%0D%0A%7F%C3%A9%E2%82%AC%F0%9F%98%80")
    }

    @Test func `an empty message is empty`() { #expect(encode("") == "") }

    @Test func `a limit cuts between characters, never within an escape`() {
        #expect(encode("abcd", atMost: 3) == "abc")
        #expect(encode("abé", atMost: 7) == "ab")
        #expect(encode("abé", atMost: 8) == "ab%C3%A9")
        #expect(encode("%%", atMost: 5) == "%25")
    }
}
