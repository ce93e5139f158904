import HTTPTypes
import Testing

@testable import Gateway

@Suite struct BrowserGuardTests {
    private let local = BrowserGuard(isLoopback: true)

    @Test(arguments: ["localhost:9097", "127.0.0.1:9097", "[::1]:9097", "a.localhost", "LOCALHOST", nil])
    func `a program on this machine is let in`(host: String?) {
        #expect(local.objection(method: .post, host: host, origin: nil, fetchSite: nil) == nil)
    }

    @Test(arguments: ["evil.example:9097", "127.0.0.1.evil.example", "localhost.evil.example", "1.2.3", ""])
    func `a name that was made to point here is refused`(host: String) {
        #expect(local.objection(method: .get, host: host, origin: nil, fetchSite: nil) != nil)
        #expect(BrowserGuard(isLoopback: false).objection(method: .get, host: host, origin: nil, fetchSite: nil) == nil)
    }

    @Test func `a page of another site may read nothing it could not, and send nothing`() {
        for (origin, site) in [("https://evil.example", "cross-site"), ("null", nil), (nil, "same-site")] {
            #expect(local.objection(method: .post, host: "localhost:9097", origin: origin, fetchSite: site) != nil)
        }
    }

    @Test func `a page of this server may send`() {
        #expect(
            local.objection(
                method: .post, host: "localhost:9097", origin: "http://localhost:9097", fetchSite: "same-origin") == nil
        )
    }
}
