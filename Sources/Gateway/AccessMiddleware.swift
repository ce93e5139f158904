import Credentials
import HTTPTypes
import Hummingbird
import NIOCore
import NIOSSL

/// Answers 401 to those who don't say who they are, and 403 to those who may not (RFC 6750 §3).
struct AccessMiddleware: RouterMiddleware {
    let access: GatewayAccess
    let isEncrypted: Bool

    func handle(
        _ request: Request, context: GatewayContext,
        next: (Request, GatewayContext) async throws -> Response
    ) async throws -> Response {
        guard let role = access.role(request.method, request.uri.path) else { return try await next(request, context) }
        let authorization = request.headers[.authorization]
        let certificate = isEncrypted ? try await context.channel.nioSSL_peerCertificate().get()?.subject : nil
        switch access.authenticator().access(
            authorization: authorization, certificate: certificate, role: role,
            action: "\(request.method.rawValue) \(request.uri.path)")
        {
        case .granted:
            return try await next(request, context)
        case .unauthenticated(_, let message):
            let error = authorization == nil ? "" : #", error="invalid_token""#
            return .refusal(.unauthorized, message, headers: [.wwwAuthenticate: Self.challenge + error])
        case .denied(let message):
            let challenge = Self.challenge + #", error="insufficient_scope", scope="\#(role.rawValue)""#
            return .refusal(.forbidden, message, headers: [.wwwAuthenticate: challenge])
        }
    }

    private static let challenge = #"Bearer realm="dspy-orchestrator""#
}
