import Protocol
import Testing

@testable import Credentials
@testable import RPCServer

@Suite(.timeLimit(.minutes(5))) struct AuthenticationInterceptorTests {
    /// The echo needs the role submit, and only its path tells that it is not open.
    private func serving(_ body: @escaping @Sendable (HTTP2Client) throws -> Void) async throws {
        let reader = TokenDigest(of: "r".utf8)
        let worker = TokenDigest(of: "w".utf8)
        let authenticator = Authenticator(
            try TokenFile("reader read sha256:\(reader)\nworker submit sha256:\(worker)"))
        var policy = CallPolicy()
        policy.interceptors = [
            AuthenticationInterceptor(
                authenticator: { authenticator }, role: { $0 == Methods.echoNow.path ? nil : .submit })
        ]
        try await withServer([Methods.echo, Methods.echoNow], policy: policy) { server in
            try body(try HTTP2Client(port: server.port))
        }
    }

    @Test func `a call without a known token is refused, and one with it answered`() async throws {
        try await serving { client in
            let none = try client.call(Methods.echo.path)
            #expect(none.code == .unauthenticated)
            #expect(none.message?.contains("Bearer TOKEN") == true)
            let wrong = try client.call(Methods.echo.path, headers: [("authorization", "Bearer x")])
            #expect(wrong.code == .unauthenticated)
            let known = try client.call(Methods.echo.path, headers: [("authorization", "Bearer w")])
            #expect(known.code == .ok)
        }
    }

    @Test func `a caller without the role is told who they are and what it takes`() async throws {
        try await serving { client in
            let refused = try client.call(Methods.echo.path, headers: [("authorization", "Bearer r")])
            #expect(refused.code == .permissionDenied)
            for word in ["reader", Methods.echo.path, "submit"] {
                #expect(refused.message?.contains(word) == true)
            }
        }
    }

    @Test func `an open method asks for nothing`() async throws {
        try await serving { client in
            let answered = try client.call(Methods.echoNow.path)
            #expect(answered.code == .ok)
        }
    }
}
