/// Who may do what, as the file of tokens says:
///
///     # subject  roles  digest
///     alice      submit,read  sha256:9f86d081…
///     cert:build-7 submit
///
/// A line is a token's subject, roles and digest, or a client certificate's name (`cert:` and the rest up to the last
/// word) and its roles. Empty lines and what follows a # at a line's start are ignored.
public struct TokenFile: Sendable {
    struct Token: Sendable {
        var digest: TokenDigest
        var principal: Principal
    }

    let tokens: [Token]
    /// By the certificate's subject.
    let certificates: [String: Principal]

    /// - Throws: the setting, the file and the first line that is wrong, and how it should be.
    public init(_ file: CredentialFile) throws(CredentialsError) {
        guard let text = String(validating: try file.read(), as: UTF8.self) else {
            throw file.error("is not UTF-8 text: write one line for each token")
        }
        do throws(CredentialsError) {
            try self.init(text)
        } catch {
            throw file.error(error.message)
        }
    }

    init(_ text: String) throws(CredentialsError) {
        var tokens: [Token] = []
        var certificates: [String: Principal] = [:]
        var lineOfDigest: [TokenDigest: Int] = [:]
        for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            let number = index + 1
            let words = line.split { $0.isWhitespace }
            guard let first = words.first, !first.hasPrefix("#") else { continue }
            if first.hasPrefix("cert:") {
                let (name, roles) = try Self.certificate(line, words, number)
                guard certificates[name] == nil else {
                    throw CredentialsError(
                        "line \(number): the certificate \(name) has a line already; write all roles on one")
                }
                certificates[name] = Principal(subject: name, roles: roles)
                continue
            }
            let token = try Self.token(words, number)
            if let earlier = lineOfDigest.updateValue(number, forKey: token.digest) {
                throw CredentialsError("line \(number): the same token is on line \(earlier); make each its own")
            }
            tokens.append(token)
        }
        self.tokens = tokens
        self.certificates = certificates
    }

    private static func token(_ words: [Substring], _ line: Int) throws(CredentialsError) -> Token {
        guard words.count == 3 else {
            throw CredentialsError(
                "line \(line) has \(words.count) words; a token's line is: subject roles sha256:HEX, "
                    + "such as: alice submit,read sha256:9f86…")
        }
        let prefix = "sha256:"
        guard words[2].hasPrefix(prefix), let digest = TokenDigest(hex: words[2].dropFirst(prefix.count)) else {
            // The word may be the token itself, which no log should show.
            throw CredentialsError(
                "line \(line): the third word is not sha256: and 64 hexadecimal digits; make them with: "
                    + "printf %s \"$TOKEN\" | sha256sum")
        }
        guard digest != .ofNothing else {
            throw CredentialsError("line \(line): that is the digest of an empty token; was $TOKEN set?")
        }
        return Token(
            digest: digest, principal: Principal(subject: String(words[0]), roles: try roles(words[1], line)))
    }

    /// A name may have blanks: the roles are the last word.
    private static func certificate(
        _ line: Substring, _ words: [Substring], _ number: Int
    ) throws(CredentialsError) -> (name: String, roles: Set<Role>) {
        let last = words[words.count - 1]
        let name = words.count > 1 ? line[..<last.startIndex].drop { $0.isWhitespace }.dropFirst("cert:".count) : ""
        let trimmed = String(name.reversed().drop { $0.isWhitespace }.reversed())
        guard !trimmed.isEmpty else {
            throw CredentialsError(
                "line \(number): a certificate's line is: cert:NAME roles, such as: cert:build-7 submit,read")
        }
        return (trimmed, try roles(last, number))
    }

    private static func roles(_ word: Substring, _ line: Int) throws(CredentialsError) -> Set<Role> {
        var roles: Set<Role> = []
        for name in word.split(separator: ",", omittingEmptySubsequences: false) {
            guard let role = Role(rawValue: String(name)) else {
                let known = Role.allCases.map(\.rawValue).joined(separator: ", ")
                throw CredentialsError(
                    "line \(line): \"\(name.prefix(40))\" is no role; the roles are \(known), with commas and no blanks between"
                )
            }
            roles.insert(role)
        }
        return roles
    }
}
