import Foundation
import HTTPTypes
import Hummingbird
import Logging
import Orchestrator
import ServiceLifecycle

extension GatewayRoutes {
    /// `GET /v1/jobs/{id}/logs`: one stream of an attempt's output as it is, from an offset or its last bytes, followed if
    /// asked.
    @Sendable func logs(_ request: Request, _ context: GatewayContext) async throws -> Response {
        var wanted = try LogQuery.request(request.uri.queryParameters, jobID: id(context))
        let place = try streamPlaces.take()
        if let tail = wanted.tail {
            wanted.request.offset = try await dependencies.logs.offset(ofLast: tail, wanted.request)
        }
        let cursor = try await dependencies.logs.open(wanted.request)
        let offset = wanted.request.offset
        let (channel, configuration, logger) = (context.channel, configuration, context.logger)
        let body = ResponseBody { writer in
            var pieces = PieceWriter(writer, channel: channel, timeout: configuration.writeTimeout)
            try await withGracefulShutdownHandler {
                do {
                    try await Self.send(cursor, from: offset, to: &pieces)
                } catch let error as OrchestratorError {
                    // The status has gone out; a connection that breaks off is no end that looks whole.
                    logger.warning(
                        "a log stream broke off", metadata: cursor.logMetadata.merging(["error": "\(error)"]) { $1 })
                    throw error
                }
            } onGracefulShutdown: {
                cursor.interrupt()
            }
            try await pieces.finish()
            withExtendedLifetime(place) {}
        }
        return Response(
            status: .ok,
            headers: [
                .contentType: "text/plain; charset=utf-8", .cacheControl: "no-store", .xContentTypeOptions: "nosniff",
                .xLogOffset: String(offset), .xLogAttempt: String(cursor.attempt),
            ], body: body)
    }

    private static func send(_ cursor: LogCursor, from offset: UInt64, to pieces: inout PieceWriter) async throws {
        var at = offset
        while let piece = try await cursor.next() {
            if piece.offset > at {
                try await pieces.write(Array("\n[\(piece.offset - at) bytes were not kept]\n".utf8))
            }
            if !piece.bytes.isEmpty { try await pieces.write(piece.bytes) }
            at = piece.offset + UInt64(piece.bytes.count)
        }
    }
}

/// The query string of `GET /v1/jobs/{id}/logs`: `stream` (stdout or stderr; default stdout), `attempt`, `follow`, and either
/// `offset` or `tail`, the number of last bytes.
struct LogQuery: Equatable {
    var request: LogRequest
    var tail: UInt64?

    static func request(
        _ parameters: some Sequence<(key: Substring, value: Substring)>, jobID: String
    ) throws(OrchestratorError) -> LogQuery {
        var query = LogQuery(request: LogRequest(jobID: jobID, stream: .stdout))
        for (key, value) in parameters {
            switch key {
            case "stream":
                guard let stream = LogStream(rawValue: String(value)) else {
                    throw .unknownWord("stream", value, LogStream.allCases.map(\.rawValue))
                }
                query.request.stream = stream
            case "attempt":
                guard let attempt = UInt32(value) else { throw number(key, value) }
                query.request.attempt = attempt
            case "offset":
                guard let offset = UInt64(value) else { throw number(key, value) }
                query.request.offset = offset
            case "tail":
                guard let tail = UInt64(value) else { throw number(key, value) }
                query.tail = tail
            case "follow": query.request.follows = try EventQuery.flag(key, value)
            default: throw .unknownWord("parameter", key, ["stream", "attempt", "offset", "tail", "follow"])
            }
        }
        if query.tail != nil, query.request.offset > 0 {
            throw .invalidArgument("tail", "tail with offset: send one of the two")
        }
        return query
    }

    private static func number(_ key: Substring, _ value: Substring) -> OrchestratorError {
        .invalidArgument(String(key), "\(key) \(String(value).debugDescription) is not a whole number")
    }
}

extension HTTPField.Name {
    static let xLogOffset = HTTPField.Name("X-Log-Offset") ?? .range
    static let xLogAttempt = HTTPField.Name("X-Log-Attempt") ?? .range
}
