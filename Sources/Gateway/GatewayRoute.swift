import HTTPTypes
import Hummingbird
import Orchestrator

/// One row of the gateway's table of routes: the router is built from it, and so are the answers to requests that fit
/// none.
struct GatewayRoute: Sendable {
    typealias Answer = @Sendable (Request, GatewayContext) async throws -> Response

    var method: HTTPRequest.Method
    /// Path segments in braces match anything.
    var path: String
    var answer: Answer

    init(_ method: HTTPRequest.Method, _ path: String, _ answer: @escaping Answer) {
        self.method = method
        self.path = path
        self.answer = answer
    }

    func matches(path other: String) -> Bool {
        let mine = path.split(separator: "/")
        let others = other.split(separator: "/")
        return mine.count == others.count && zip(mine, others).allSatisfy { $0 == $1 || $0.hasPrefix("{") }
    }
}

extension GatewayRoute {
    /// The router of a table, with what stands before every route.
    static func router(
        _ table: [GatewayRoute], configuration: GatewayConfiguration, registry: MetricsRegistry
    ) -> Router<GatewayContext> {
        let router = Router(context: GatewayContext.self, options: .autoGenerateHeadEndpoints)
        router.add(middleware: RequestMetrics(registry))
        router.add(middleware: RefusalMiddleware(unknownRoute: UnknownRoute(table)))
        router.add(
            middleware: BrowserGuardMiddleware(browserGuard: BrowserGuard(isLoopback: configuration.isLoopback)))
        if let access = configuration.access {
            router.add(middleware: AccessMiddleware(access: access, isEncrypted: configuration.tls != nil))
        }
        for route in table { router.on(RouterPath(route.path), method: route.method, use: route.answer) }
        return router
    }
}

/// The answer to a request that fits no route.
struct UnknownRoute: Sendable {
    private let routes: [(method: HTTPRequest.Method, route: GatewayRoute)]

    init(_ routes: [GatewayRoute]) { self.routes = routes.map { ($0.method, $0) } }

    /// 405 with what is allowed when the path is known, else 404 with the routes there are.
    func answer(_ method: HTTPRequest.Method, _ path: String) -> Response {
        let allowed = routes.filter { $0.route.matches(path: path) }.map(\.method.rawValue)
        guard allowed.isEmpty else {
            // Who may GET may ask for the head alone.
            let all = (allowed + (allowed.contains("GET") ? ["HEAD"] : [])).sorted().joined(separator: ", ")
            return .refusal(
                .methodNotAllowed, "\(method.rawValue) is not allowed on \(path); allowed: \(all)",
                headers: [.allow: all])
        }
        let known = routes.map { "\($0.method.rawValue) \($0.route.path)" }.joined(separator: ", ")
        return .refusal(.notFound, "no route \(method.rawValue) \(path); there are: \(known)")
    }
}
