import HTTPTypes
import Hummingbird
import NIOCore
import Orchestrator

extension Response {
    /// An answer in JSON, which no cache keeps and no browser takes for something else.
    static func json(
        _ status: HTTPResponse.Status = .ok, headers: HTTPFields = [:], _ write: (inout JSONWriter) -> Void
    ) -> Response {
        var json = JSONWriter()
        write(&json)
        return .bytes(json.bytes, type: "application/json", status: status, headers: headers)
    }

    static func text(
        _ text: String, type: String = "text/plain; charset=utf-8", status: HTTPResponse.Status = .ok
    ) -> Response {
        .bytes(Array(text.utf8), type: type, status: status, headers: [:])
    }

    private static func bytes(
        _ bytes: [UInt8], type: String, status: HTTPResponse.Status, headers: HTTPFields
    ) -> Response {
        var headers = headers
        headers[.contentType] = type
        headers[.cacheControl] = "no-store"
        headers[.xContentTypeOptions] = "nosniff"
        return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    }

    /// Every refusal looks alike: `{"ok":false,"error":"…"}`.
    static func refusal(_ status: HTTPResponse.Status, _ message: String, headers: HTTPFields = [:]) -> Response {
        .json(status, headers: headers) { json in
            json.object { json in
                json.key("ok")
                json.bool(false)
                json.key("error")
                json.string(message)
            }
        }
    }

    /// What is worth a retry says when.
    static func refusal(_ error: OrchestratorError) -> Response {
        let headers: HTTPFields =
            switch error.kind {
            case .resourceExhausted, .unavailable: [.retryAfter: seconds(error.retryAfter ?? .seconds(1))]
            default: [:]
            }
        return .refusal(error.status, error.message, headers: headers)
    }

    /// Whole seconds, rounded up: Retry-After knows no smaller unit (RFC 9110 §10.2.3).
    private static func seconds(_ duration: Duration) -> String {
        String(max(1, Int64(duration.inSeconds.rounded(.up))))
    }
}

extension OrchestratorError {
    /// The status for each kind is the one google.rpc.Code's comments give, so that HTTP and gRPC clients agree on which
    /// errors are worth a retry: 429 and 503.
    var status: HTTPResponse.Status {
        switch kind {
        case .invalidArgument, .failedPrecondition, .outOfRange: .badRequest
        case .notFound: .notFound
        case .alreadyExists: .conflict
        case .resourceExhausted: .tooManyRequests
        case .unavailable: .serviceUnavailable
        case .unimplemented: .notImplemented
        case .internal: .internalServerError
        }
    }
}
