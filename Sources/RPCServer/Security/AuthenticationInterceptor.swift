import Credentials
import Logging
import Protocol

/// Lets a call through when its bearer token or its connection's certificate has the role that the method needs.
/// A stream lasts as long as its caller stays connected, also when the token is taken from the file meanwhile.
public struct AuthenticationInterceptor: CallInterceptor {
    private let authenticator: @Sendable () -> Authenticator
    private let role: @Sendable (_ path: String) -> Role?
    private let logger: Logger?
    private let log = PeerLog()

    /// - Parameters:
    ///   - authenticator: asked for each call, so that it can change.
    ///   - role: what a method needs; nil is open to all.
    ///   - logger: where a refused peer is named, not again within the hour.
    public init(
        authenticator: @escaping @Sendable () -> Authenticator, role: @escaping @Sendable (_ path: String) -> Role?,
        logger: Logger? = nil
    ) {
        self.logger = logger
        self.authenticator = authenticator
        self.role = role
    }

    public func began(_ head: borrowing CallHead, _ notes: inout CallNotes) -> CallVerdict {
        guard let role = role(head.method.path) else { return .proceed }
        let access = authenticator().access(
            authorization: head.header("authorization"), certificate: head.peer.certificateSubject, role: role,
            action: head.method.path)
        if let refusal = access.refusal { report(refusal, head.peer) }
        switch access {
        case .granted(let principal):
            notes.subject = principal.subject
            return .proceed
        case .unauthenticated(let refusal, let message):
            let reason = refusal == .missing ? "CREDENTIALS_MISSING" : "CREDENTIALS_UNKNOWN"
            return .refuse(Status(.unauthenticated, message).because(reason))
        case .denied(let message):
            return .refuse(
                Status(.permissionDenied, message).because(
                    "ROLE_MISSING", ["role": role.rawValue, "method": head.method.path]))
        }
    }

    /// Who guesses tokens makes one line, not millions.
    private func report(_ refusal: CredentialRefusal, _ peer: Peer) {
        guard let logger, log.admits(peer.host, refusal.rawValue) else { return }
        logger.notice("a caller was refused", metadata: ["reason": "\(refusal.rawValue)", "peer": "\(peer.address)"])
    }
}
