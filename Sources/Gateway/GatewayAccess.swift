import Credentials
import HTTPTypes

/// Who may use which route, once callers have to say who they are.
public struct GatewayAccess: Sendable {
    /// Asked for each request, so that it can change.
    public var authenticator: @Sendable () -> Authenticator
    /// `/health`, `/livez` and `/readyz` answer anybody: what restarts containers has no token. Default true.
    public var opensProbes = true
    /// `/metrics` answers anybody. Default false.
    public var opensMetrics = false

    public init(authenticator: @escaping @Sendable () -> Authenticator) { self.authenticator = authenticator }

    /// What a request needs; nil is open to all. A path that is not exactly one of the open ones is not open.
    func role(_ method: HTTPRequest.Method, _ path: String) -> Role? {
        let isRead = method == .get || method == .head
        switch path {
        case "/health", "/livez", "/readyz": return isRead && opensProbes ? nil : .read
        // The status page is the same for everybody, and asks for what it shows with its reader's token.
        case "/": return isRead ? nil : .submit
        case "/metrics": return isRead && opensMetrics ? nil : .read
        default: return isRead ? .read : .submit
        }
    }
}
