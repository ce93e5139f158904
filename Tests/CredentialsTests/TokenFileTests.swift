import Testing

@testable import Credentials

@Suite struct TokenFileTests {
    /// Of "alice's token" and "bob's token".
    static let alice = "sha256:" + hex(TokenDigest(of: "alice's token".utf8))
    static let bob = "sha256:" + hex(TokenDigest(of: "bob's token".utf8))

    static func hex(_ digest: TokenDigest) -> String { digest.description }

    @Test func `tokens, certificates, comments and empty lines are read`() throws {
        let file = try TokenFile(
            """
            # who may do what
            alice  submit,read \(Self.alice)

              # indented
            bob\tadmin\t\(Self.bob.uppercased().replacing("SHA256", with: "sha256"))
            cert:build 7  read
            cert:spiffe://example.org/runner submit
            """)
        #expect(
            file.tokens.map(\.principal) == [
                Principal(subject: "alice", roles: [.submit, .read]), Principal(subject: "bob", roles: [.admin]),
            ])
        #expect(
            file.certificates == [
                "build 7": Principal(subject: "build 7", roles: [.read]),
                "spiffe://example.org/runner": Principal(subject: "spiffe://example.org/runner", roles: [.submit]),
            ])
    }

    @Test func `lines may end as on other systems`() throws {
        let file = try TokenFile("alice read \(Self.alice)\r\nbob read \(Self.bob)\r\n")
        #expect(file.tokens.count == 2)
    }

    @Test func `one subject may have several tokens, so that they can be exchanged`() throws {
        #expect(try TokenFile("alice read \(Self.alice)\nalice admin \(Self.bob)").tokens.count == 2)
    }

    @Test func `a file without a token lets nobody in`() throws {
        let file = try TokenFile("# nobody\n")
        #expect(file.tokens.isEmpty && file.certificates.isEmpty)
    }

    @Test(arguments: [
        ("alice", "1 words"),
        ("alice read", "subject roles sha256:HEX"),
        ("alice submit, read \(alice)", "4 words"),
        ("alice read \(alice) more", "4 words"),
        ("alice write \(alice)", "\"write\" is no role; the roles are submit, read, admin"),
        ("alice Read \(alice)", "\"Read\" is no role"),
        ("alice read, \(alice)", "\"\" is no role"),
        ("alice read md5:00", "64 hexadecimal digits"),
        ("alice read sha256:00", "64 hexadecimal digits"),
        ("alice read sha256:\(String(repeating: "g", count: 64))", "64 hexadecimal digits"),
        ("alice read sha256:\(String(repeating: "٣", count: 64))", "64 hexadecimal digits"),
        ("alice read sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "empty token"),
        ("cert:", "cert:NAME roles"),
        ("cert:alice", "cert:NAME roles"),
        ("cert: read", "cert:NAME roles"),
        ("cert:alice write", "is no role"),
    ])
    func `a wrong line is refused with its number and how it should be`(line: String, words: String) throws {
        let error = try #require(throws: CredentialsError.self) { try TokenFile("# first\n\(line)\n") }
        #expect(error.message.hasPrefix("line 2") && error.message.contains(words), "\(error)")
    }

    @Test func `what stands in the digest's place is not told, for it may be the token`() throws {
        let error = try #require(throws: CredentialsError.self) { try TokenFile("alice read my-secret") }
        #expect(!error.message.contains("my-secret") && error.message.contains("sha256sum"))
    }

    @Test func `the same token or certificate twice is refused`() throws {
        let token = try #require(throws: CredentialsError.self) {
            try TokenFile("alice read \(Self.alice)\nbob admin \(Self.alice)")
        }
        #expect(token.message.contains("line 2") && token.message.contains("line 1"))
        let certificate = try #require(throws: CredentialsError.self) { try TokenFile("cert:a read\ncert:a submit") }
        #expect(certificate.message.contains("line 2"))
    }

    @Test func `a digest is what sha256sum prints`() {
        #expect(
            TokenDigest(hex: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
                == TokenDigest(of: "abc".utf8))
    }
}
