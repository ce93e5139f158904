import HTTPTypes
import Hummingbird
import Logging
import Orchestrator
import ServiceLifecycle

extension GatewayRoutes {
    /// `GET /v1/events`: server-sent events, history from the cursor first, then live, without a gap or a repeat.
    @Sendable func events(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let wanted = try EventQuery.request(
            request.uri.queryParameters, lastEventID: request.headers[.lastEventID])
        let place = try streamPlaces.take()
        let follower = try await dependencies.follow(wanted, serverSentEvents.encoding)
        // The one answer after which a browser does not come again (WHATWG HTML §9.2.3).
        if wanted.endWhenDone, await follower.hasEnded { return Response(status: .noContent) }

        let (channel, configuration, logger) = (context.channel, configuration, context.logger)
        let body = ResponseBody { writer in
            var pieces = PieceWriter(writer, channel: channel, timeout: configuration.writeTimeout)
            try await withGracefulShutdownHandler {
                do {
                    try await Self.send(follower, to: &pieces, heartbeat: configuration.heartbeat)
                } catch let error as OrchestratorError {
                    logger.warning("an event stream broke off", metadata: ["error": "\(error)"])
                    try await pieces.write(ServerSentEvents.failing)
                }
            } onGracefulShutdown: {
                follower.wake()
            }
            try await pieces.finish()
            withExtendedLifetime(place) {}
        }
        return Response(
            status: .ok,
            headers: [
                .contentType: "text/event-stream", .cacheControl: "no-store", .xContentTypeOptions: "nosniff",
                // nginx would gather the events in a buffer.
                .xAccelBuffering: "no",
            ], body: body)
    }

    private static func send(
        _ follower: EventFollower, to pieces: inout PieceWriter, heartbeat: Duration
    ) async throws {
        try await pieces.write(ServerSentEvents.opening)
        while true {
            switch try await follower.next(until: .now + heartbeat) {
            case .events(let bytes): try await pieces.write(bytes)
            case .ended: return
            case .quiet:
                if Task.isShuttingDownGracefully { return try await pieces.write(ServerSentEvents.closing) }
                try await pieces.write(ServerSentEvents.heartbeat)
            }
            // A stream that is never quiet ends too.
            if Task.isShuttingDownGracefully { return try await pieces.write(ServerSentEvents.closing) }
        }
    }
}

extension HTTPField.Name {
    static let lastEventID = HTTPField.Name("Last-Event-ID") ?? .ifMatch
    static let xAccelBuffering = HTTPField.Name("X-Accel-Buffering") ?? .cacheControl
}
