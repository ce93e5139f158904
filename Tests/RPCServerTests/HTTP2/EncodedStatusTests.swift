import CNghttp2
import Protocol
import Testing

@testable import RPCServer

struct EncodedStatusTests {
    private func encoded(_ status: Status) -> (message: Int, details: Int) {
        var lengths = (0, 0)
        EncodedStatus(status).withBytes { lengths = ($0.length, $1.length) }
        return lengths
    }

    @Test func `a message of any length and script leaves room for a client's other headers`() {
        #expect(encoded(Status(.internal, String(repeating: "x", count: 100_000))).message == 4096)
        #expect(encoded(Status(.internal, String(repeating: "é", count: 100_000))).message <= 4096)
        // One character to a reader, a hundred thousand to the wire.
        #expect(encoded(Status(.internal, "e" + String(repeating: "\u{301}", count: 100_000))).message <= 4096)
    }

    @Test func `details that would not fit are left out whole`() {
        #expect(encoded(Status(.internal, "m", details: Array(repeating: 1, count: 2000))).details == 2667)
        #expect(encoded(Status(.internal, "m", details: Array(repeating: 1, count: 3000))).details == 0)
    }
}
