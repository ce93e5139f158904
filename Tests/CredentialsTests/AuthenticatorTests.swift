import Testing

@testable import Credentials

@Suite struct AuthenticatorTests {
    private func authenticator() throws -> Authenticator {
        Authenticator(
            try TokenFile(
                """
                reader read \(TokenFileTests.alice)
                boss admin \(TokenFileTests.bob)
                cert:runner submit
                """))
    }

    private func access(
        _ authorization: String?, _ certificate: String? = nil, _ role: Role = .read
    ) throws -> Authenticator.Access {
        try authenticator().access(
            authorization: authorization, certificate: certificate, role: role, action: "/service/Method")
    }

    @Test(arguments: ["Bearer alice's token", "bearer alice's token", "BEARER  alice's token"])
    func `a known token names its caller`(authorization: String) throws {
        #expect(try access(authorization) == .granted(Principal(subject: "reader", roles: [.read])))
    }

    @Test(arguments: Role.allCases) func `an administrator may do everything`(role: Role) throws {
        #expect(try access("Bearer bob's token", nil, role) == .granted(Principal(subject: "boss", roles: [.admin])))
    }

    @Test(arguments: [Role.submit, .admin])
    func `a role that is missing is named with the caller and the method`(role: Role) throws {
        guard case .denied(let message) = try access("Bearer alice's token", nil, role) else {
            Issue.record("let through")
            return
        }
        for word in ["reader", "/service/Method", role.rawValue] { #expect(message.contains(word), "\(message)") }
    }

    @Test(
        arguments: [
            (nil, nil, "Bearer TOKEN"), ("alice's token", nil, "Bearer TOKEN"), ("Bearer", nil, "Bearer TOKEN"),
            ("Bearer ", nil, "Bearer TOKEN"), ("Basic YWxpY2U=", nil, "Bearer TOKEN"),
            ("Bearer wrong", nil, "not known"),
            ("Bearer alice's token ", nil, "not known"), (nil, "stranger", "cert:stranger"),
            ("Bearer wrong", "runner", "not known"),
        ] as [(String?, String?, String)])
    func `who is not known is told what to send`(authorization: String?, certificate: String?, words: String) throws {
        guard case .unauthenticated(_, let message) = try access(authorization, certificate) else {
            Issue.record("let through")
            return
        }
        #expect(message.contains(words), "\(message)")
        #expect(!message.contains("wrong"), "no message shows a token")
    }

    @Test func `a certificate has the roles of its line`() throws {
        #expect(try access(nil, "runner", .submit) == .granted(Principal(subject: "runner", roles: [.submit])))
        guard case .denied = try access(nil, "runner", .read) else {
            Issue.record("let through")
            return
        }
    }

    @Test func `without a token file every verified certificate may do everything, and nobody else anything`() {
        let authenticator = Authenticator(nil)
        let role = Role.admin
        #expect(
            authenticator.access(authorization: nil, certificate: "any", role: role, action: "")
                == .granted(Principal(subject: "any", roles: [.admin])))
        for authorization in [nil, "Bearer alice's token"] {
            guard
                case .unauthenticated = authenticator.access(
                    authorization: authorization, certificate: nil, role: role, action: "")
            else {
                Issue.record("let through")
                return
            }
        }
    }
}
