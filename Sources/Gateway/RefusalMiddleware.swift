import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Orchestrator

/// Turns whatever a route throws into an answer in JSON. What the client can't help is logged, and told without its
/// inside.
struct RefusalMiddleware: RouterMiddleware {
    let unknownRoute: UnknownRoute

    func handle(
        _ request: Request, context: GatewayContext,
        next: (Request, GatewayContext) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch let error as OrchestratorError {
            return .refusal(error)
        } catch let error as BodyError {
            context.closeSoon()
            return .refusal(error.status, error.message, headers: [.connection: "close"])
        } catch let error as HTTPError where error.status == .notFound && error.body == nil {
            return unknownRoute.answer(request.method, request.uri.path)
        } catch let error as any HTTPResponseError {
            return .refusal(error.status, "\(error)")
        } catch let error as CancellationError {
            throw error
        } catch {
            context.logger.error(
                "request failed",
                metadata: ["method": "\(request.method)", "path": "\(request.uri.path)", "error": "\(error)"])
            return .refusal(.internalServerError, "the server failed to answer; its log says why")
        }
    }
}
