import HTTPTypes
import HummingbirdTesting
import Testing

@testable import Gateway

@Suite struct UnknownRouteTests {
    @Test func `an unknown route names those there are`() async throws {
        try await GatewayFixture.test { client, _ in
            for path in ["/nope", "/v1/jobs/a/b", "/metrics/x"] {
                let answer = try await client.get(path)
                #expect(answer.status == 404)
                #expect(answer.error?.contains("no route GET \(path)") == true, "\(answer.text)")
                #expect(answer.error?.contains("POST /queue/submit") == true)
            }
        }
    }

    @Test(arguments: [
        (HTTPRequest.Method.post, "/metrics", "GET, HEAD"), (.get, "/queue/submit", "POST"),
        (.delete, "/v1/jobs/a", "GET, HEAD"), (.post, "/v1/events", "GET, HEAD"), (.post, "/", "GET, HEAD"),
        (.put, "/v1/jobs", "GET, HEAD, POST"), (.get, "/v1/jobs/a/cancel", "POST"),
    ])
    func `a wrong method is told the right ones`(method: HTTPRequest.Method, path: String, allow: String) async throws {
        try await GatewayFixture.test { client, _ in
            let answer = try await client.send(method, path)
            #expect(answer.status == 405)
            #expect(answer.headers[.allow] == allow)
            #expect(answer.error?.contains(allow) == true)
        }
    }

    @Test func `the head alone can be asked for`() async throws {
        try await GatewayFixture.test { client, _ in
            let answer = try await client.send(.head, "/livez")
            #expect(answer.status == 200)
            #expect(answer.text.isEmpty)
        }
    }
}
