import Orchestrator
import Testing

@testable import EventSinks

@Suite struct RedDBVerdictTests {
    @Test(arguments: [
        (200, #"{"ok":true,"offset":3}"#, RedDBVerdict.taken),
        (400, #"{"detail":"Invalid JSON body"}"#, .refused(.invalid)),
        (422, #"{"detail":[{"msg":"too deep"}]}"#, .refused(.invalid)),
        (400, "<html>The plain HTTP request was sent to HTTPS port</html>", .unavailable),
        (409, "", .refused(.duplicate)), (413, "", .refused(.tooLarge)), (500, "Internal Server Error", .failed),
        (301, "", .unavailable), (401, #"{"detail":"Invalid token"}"#, .unavailable), (403, "", .unavailable),
        (404, #"{"detail":"Not Found"}"#, .unavailable), (429, "", .unavailable), (502, "", .unavailable),
        (503, "", .unavailable), (504, "", .unavailable),
    ])
    func `only what is about the event is held against it`(status: UInt, body: String, verdict: RedDBVerdict) {
        #expect(RedDBVerdict(status: status, body: Array(body.utf8)) == verdict)
    }

    @Test func `an error is one line of limited length, with a way out`() {
        let error = RedDBError("an append", status: 401, body: Array(String(repeating: "no\n", count: 1000).utf8))
        #expect(error.description.hasPrefix("reddb: an append was answered with 401: no no"))
        #expect(error.description.hasSuffix("is REDDB_TOKEN the server's?"))
        #expect(error.description.count < 300 && !error.description.contains("\n"))
    }

    @Test(arguments: [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"), ("https://db.example/red//", "https://db.example/red"),
        ("http://[::1]:80/", "http://[::1]:80"), ("ftp://a", nil), ("db:8080", nil), ("", nil), ("http://", nil),
        ("http://user:secret@db", nil), ("http://db/?a=b", nil), ("http://db/#a", nil),
    ])
    func `a base is an http URL and nothing that would get lost`(text: String, base: String?) {
        #expect(RedDBConfiguration.base(text) == base)
    }
}
