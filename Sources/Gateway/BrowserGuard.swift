import HTTPTypes
import Hummingbird

/// Keeps web pages away from a server that runs commands. A browser lets any page send requests to this machine: without
/// this, reading a page could submit a job. Programs (curl, Prometheus, a queue's client) send none of what is refused
/// here.
///
/// - A page of another origin: the browser says so in Origin (RFC 6454) or Sec-Fetch-Site.
/// - A name that an attacker made point at this machine (DNS rebinding): on a loopback address, Host must be an address or
///   a name of this machine.
struct BrowserGuard: Sendable {
    let isLoopback: Bool

    /// What is wrong with the request, or nil.
    func objection(method: HTTPRequest.Method, host: String?, origin: String?, fetchSite: String?) -> String? {
        if isLoopback, let host, !Self.namesThisMachine(host) {
            return "the host \(host) is not this machine; use localhost or 127.0.0.1"
        }
        if method == .get || method == .head { return nil }
        if let fetchSite, fetchSite != "same-origin", fetchSite != "none" {
            return "pages of other sites may not send jobs"
        }
        if let origin, !Self.isSameOrigin(origin, host: host) { return "the page \(origin) may not send jobs" }
        return nil
    }

    private static func isSameOrigin(_ origin: String, host: String?) -> Bool {
        guard let host else { return false }
        return ["http://", "https://"].contains { origin.lowercased() == $0 + host.lowercased() }
    }

    /// An address can't be rebound, only a name can.
    private static func namesThisMachine(_ authority: String) -> Bool {
        if authority.hasPrefix("[") { return true }
        let host = authority.prefix { $0 != ":" }.lowercased()
        if host == "localhost" || host.hasSuffix(".localhost") { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
    }
}

struct BrowserGuardMiddleware: RouterMiddleware {
    let browserGuard: BrowserGuard

    func handle(
        _ request: Request, context: GatewayContext,
        next: (Request, GatewayContext) async throws -> Response
    ) async throws -> Response {
        let objection = browserGuard.objection(
            method: request.method, host: request.head.authority, origin: request.headers[.origin],
            fetchSite: request.headers[.secFetchSite])
        if let objection { return .refusal(.forbidden, objection) }
        return try await next(request, context)
    }
}

extension HTTPField.Name {
    static let secFetchSite = HTTPField.Name("Sec-Fetch-Site") ?? .origin
}
