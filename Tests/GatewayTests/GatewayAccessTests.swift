import HTTPTypes
import HummingbirdTesting
import Orchestrator
import Testing

@testable import Credentials
@testable import Gateway

@Suite struct GatewayAccessTests {
    private static func access() throws -> GatewayAccess {
        let reader = TokenDigest(of: "r".utf8)
        let worker = TokenDigest(of: "w".utf8)
        let authenticator = Authenticator(
            try TokenFile("reader read sha256:\(reader)\nworker submit sha256:\(worker)"))
        return GatewayAccess(authenticator: { authenticator })
    }

    @Test(
        arguments: [
            (.get, "/health", nil), (.get, "/livez", nil), (.head, "/readyz", nil), (.get, "/metrics", .read),
            (.post, "/livez", .read), (.get, "/livez/", .read), (.get, "//livez", .read), (.get, "/LIVEZ", .read),
            (.get, "/queue/status", .read), (.post, "/queue/submit", .submit), (.get, "/v1/jobs", .read),
            (.head, "/v1/jobs/a", .read), (.get, "/slurm/status/a", .read), (.get, "/unknown", .read),
            (.delete, "/v1/jobs/a", .submit), (.get, "/v1/events", .read), (.get, "/v1/jobs/a/logs", .read),
            (.get, "/v1/overview", .read), (.get, "/", nil), (.head, "/", nil), (.post, "/", .submit),
            (.get, "//", .read), (.post, "/v1/jobs", .submit), (.post, "/v1/jobs/a/cancel", .submit),
        ] as [(HTTPRequest.Method, String, Role?)])
    func `what is not open needs a role`(method: HTTPRequest.Method, path: String, role: Role?) throws {
        #expect(try Self.access().role(method, path) == role)
    }

    @Test func `probes can be closed and metrics opened`() throws {
        var access = try Self.access()
        access.opensProbes = false
        access.opensMetrics = true
        #expect(access.role(.get, "/livez") == .read)
        #expect(access.role(.get, "/metrics") == nil)
        #expect(access.role(.post, "/metrics") == .read)
    }

    @Test func `a request without a good token is answered 401, without the role 403, and otherwise as ever`()
        async throws
    {
        var configuration = GatewayConfiguration(port: 0)
        configuration.access = try Self.access()
        try await GatewayFixture.test(configuration: configuration) { client, fixture in
            func submit(_ authorization: String?) async throws -> Answer {
                try await client.send(
                    .post, "/queue/submit", #"{"id":"a"}"#,
                    headers: authorization.map { [.authorization: $0] } ?? [:])
            }
            let none = try await submit(nil)
            #expect(none.status == 401)
            #expect(none.headers[.wwwAuthenticate] == #"Bearer realm="dspy-orchestrator""#)
            #expect(none.error?.contains("Bearer TOKEN") == true)
            let wrong = try await submit("Bearer x")
            #expect(wrong.status == 401)
            #expect(wrong.headers[.wwwAuthenticate]?.contains("invalid_token") == true)
            let reader = try await submit("Bearer r")
            #expect(reader.status == 403)
            #expect(reader.headers[.wwwAuthenticate]?.contains(#"scope="submit""#) == true)
            #expect(fixture.ledger.cachedJob("a") == nil)
            #expect(try await submit("Bearer w").status == 200)
            #expect(try await client.get("/v1/jobs/a", headers: [.authorization: "Bearer r"]).status == 200)
            #expect(try await client.get("/v1/jobs/a", headers: [.authorization: "Bearer w"]).status == 403)
            #expect(try await client.get("/no/such").status == 401)
            #expect(try await client.get("/livez").status == 200)
        }
    }
}
