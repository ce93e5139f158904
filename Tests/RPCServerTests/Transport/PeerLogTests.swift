import NIOCore
import Testing

@testable import RPCServer

@Suite struct PeerLogTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    @Test func `a peer is named once an hour for each thing it does`() {
        let log = PeerLog(at: Self.start)
        #expect(log.admits("192.0.2.1", "flood", at: Self.start))
        #expect(!log.admits("192.0.2.1", "flood", at: Self.start + .minutes(59)))
        #expect(log.admits("192.0.2.1", "tls_failed", at: Self.start + .minutes(59)))
        #expect(log.admits("192.0.2.2", "flood", at: Self.start + .minutes(59)))
        #expect(log.admits("192.0.2.1", "flood", at: Self.start + .hours(1)))
    }

    @Test func `many addresses make few lines, and a peer that had none gets its line later`() {
        let log = PeerLog(at: Self.start)
        let lines = (0..<10_000).count { log.admits("2001:db8::\($0)", "flood", at: Self.start) }
        #expect(lines == 20)
        #expect(log.admits("2001:db8::9999", "flood", at: Self.start + .seconds(1)))
    }

    @Test func `an endless row of addresses takes no endless memory and silences nobody`() {
        let log = PeerLog(at: Self.start)
        var now = Self.start
        for index in 0..<10_000 {
            now = now + .seconds(1)
            #expect(log.admits("peer \(index)", "flood", at: now))
        }
        #expect(log.peers <= 4_096)
    }
}
