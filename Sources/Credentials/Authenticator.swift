/// Decides who a caller is and whether they may do what they ask.
public struct Authenticator: Sendable {
    public enum Access: Sendable, Equatable {
        case granted(Principal)
        /// No credentials, or ones that are not known; the message says what to send.
        case unauthenticated(CredentialRefusal, String)
        /// Known, but without the role.
        case denied(String)

        public var refusal: CredentialRefusal? {
            switch self {
            case .granted: nil
            case .unauthenticated(let refusal, _): refusal
            case .denied: .roleMissing
            }
        }
    }

    private let file: TokenFile?
    private let refusals: RefusalCounts?

    /// - Parameters:
    ///   - file: nil when the clients' certificates are all there is: every one that the CA signed may do everything.
    ///   - refusals: where those who are not let in are counted.
    public init(_ file: TokenFile?, refusals: RefusalCounts? = nil) {
        self.file = file
        self.refusals = refusals
    }

    /// A token, where there is one, decides alone: who sends a wrong one is told so, whatever certificate they have.
    /// - Parameters:
    ///   - authorization: the field of that name, `Bearer TOKEN` (RFC 6750 §2.1).
    ///   - certificate: the subject of the client's certificate, verified by TLS.
    ///   - action: what is asked for, to name it in a message.
    public func access(authorization: String?, certificate: String?, role: Role, action: String) -> Access {
        let access = judged(authorization: authorization, certificate: certificate, role: role, action: action)
        if let refusal = access.refusal { refusals?.count(refusal) }
        return access
    }

    private func judged(authorization: String?, certificate: String?, role: Role, action: String) -> Access {
        let principal: Principal
        if let authorization {
            guard let token = Self.bearer(authorization) else {
                return .unauthenticated(.malformed, "the authorization must be: Bearer TOKEN")
            }
            guard let known = known(TokenDigest(of: token.utf8)) else {
                return .unauthenticated(
                    .unknownToken, "this token is not known, or no longer: ask who runs the server for another")
            }
            principal = known
        } else if let certificate {
            guard let file else { return .granted(Principal(subject: certificate, roles: [.admin])) }
            guard let known = file.certificates[certificate] else {
                return .unauthenticated(
                    .unknownCertificate,
                    "the certificate of \(certificate) has no roles here: ask who runs the server for a line "
                        + "\"cert:\(certificate) ROLES\" in its token file, or send a token")
            }
            principal = known
        } else {
            return .unauthenticated(
                .missing,
                file == nil
                    ? "no credentials: show a client certificate"
                    : "no credentials: send authorization: Bearer TOKEN, or show a client certificate")
        }
        guard principal.has(role) else {
            let roles = principal.roles.map(\.rawValue).sorted().joined(separator: ", ")
            return .denied(
                "\(principal.subject) may not use \(action): it needs the role \(role), and there is only \(roles)")
        }
        return .granted(principal)
    }

    /// The scheme's case does not matter (RFC 9110 §11.1).
    private static func bearer(_ authorization: String) -> Substring? {
        let parts = authorization.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "bearer" else { return nil }
        let token = parts[1].drop { $0 == " " }
        return token.isEmpty ? nil : token
    }

    /// Looks at all of them, whichever matches.
    private func known(_ digest: TokenDigest) -> Principal? {
        var found: Principal?
        for token in file?.tokens ?? [] where token.digest.matches(digest) { found = token.principal }
        return found
    }
}
