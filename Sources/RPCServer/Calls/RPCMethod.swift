import NIOCore
import Protocol

/// One method of a service: its path, and how it is answered.
public struct RPCMethod: Sendable {
    enum Handler: Sendable {
        case unary(immediate: ImmediateHandler?, async: UnaryHandler)
        case promised(PromisingHandler)
        case pull(PullHandler)
        case streaming(StreamingHandler)
    }

    /// Which sides stream.
    public enum Kind: String, Sendable {
        case unary
        case clientStream = "client_stream"
        case serverStream = "server_stream"
        case bidiStream = "bidi_stream"
    }

    /// `/package.Service/Method`.
    public let path: String
    let handler: Handler

    public let kind: Kind

    /// A method that waits for something. The handler starts on the connection's event loop and is cancelled when the
    /// call is: by the client, its deadline, or the connection's end. A thrown `Status` ends the call with it.
    public static func unary<Request: WireMessage, Response: WireMessage>(
        _ path: String, _ handler: @escaping @Sendable (Request, CallContext) async throws -> Response
    ) -> RPCMethod {
        RPCMethod(path: path, handler: .unary(immediate: nil, async: typed(handler)), kind: .unary)
    }

    /// A method that can usually be answered from memory, at once, on the event loop: measured half the cost of a task.
    /// When `immediate` answers `.deferred`, `handler` has the call.
    public static func unary<Request: WireMessage, Response: WireMessage>(
        _ path: String, immediate: @escaping ImmediateHandler,
        otherwise handler: @escaping @Sendable (Request, CallContext) async throws -> Response
    ) -> RPCMethod {
        RPCMethod(path: path, handler: .unary(immediate: immediate, async: typed(handler)), kind: .unary)
    }

    /// A method whose answer is somebody's call back: no task is made for it, nothing is cancelled when the call is over, and
    /// there is no metadata but what `CallNotes` has. For what thousands of callers wait for at once.
    /// - Parameter handler: runs on the event loop: no I/O, no waiting, microseconds.
    public static func unary<Request: WireMessage, Response: WireMessage>(
        _ path: String, promising handler: @escaping @Sendable (Request, CallNotes, ResponsePromise<Response>) -> Void
    ) -> RPCMethod {
        RPCMethod(
            path: path,
            handler: .promised { bytes, arena, notes, call in
                let promise = ResponsePromise<Response>(call: call)
                do throws(WireError) {
                    handler(try Request(decoding: bytes, in: arena), notes, promise)
                } catch {
                    promise.fail(.malformed(error))
                }
            }, kind: .unary)
    }

    /// A server stream whose messages are pulled as the peer has room for them.
    public static func serverStream<Request: WireMessage>(
        _ path: String, _ handler: @escaping @Sendable (Request, CallContext) async throws -> any PullSource
    ) -> RPCMethod {
        RPCMethod(
            path: path,
            handler: .pull { bytes, context in
                try await handler(try request(bytes), context)
            }, kind: .serverStream)
    }

    /// A method whose messages stream, with back-pressure both ways. The handler starts with the call's headers, on the
    /// connection's event loop; the call ends when it returns, or with the `Status` it throws.
    public static func streaming<Request: WireMessage, Response: WireMessage>(
        _ path: String, kind: Kind = .bidiStream,
        _ handler:
            @escaping @Sendable (RequestStream<Request>, ResponseStream<Response>, CallContext) async throws -> Void
    ) -> RPCMethod {
        RPCMethod(
            path: path,
            handler: .streaming { call, eventLoop, context in
                try await handler(
                    RequestStream(call: call, eventLoop: eventLoop),
                    ResponseStream(call: call, eventLoop: eventLoop, response: context.response), context)
            }, kind: kind)
    }

    private static func typed<Request: WireMessage, Response: WireMessage>(
        _ handler: @escaping @Sendable (Request, CallContext) async throws -> Response
    ) -> UnaryHandler {
        { bytes, context in
            let message = try await handler(try request(bytes), context)
            let encoding = context.response.encoding
            return encoding == .identity ? message.framed() : encoding.frame(message.encoded(), compressed: true)
        }
    }

    private static func request<Request: WireMessage>(_ bytes: [UInt8]) throws(Status) -> Request {
        do {
            return try Request(decoding: bytes)
        } catch {
            throw .malformed(error)
        }
    }
}

/// Takes the request's bytes, answers the framed response.
typealias UnaryHandler = @Sendable ([UInt8], CallContext) async throws -> [UInt8]
/// Decodes the request, and sees to it that the call is answered.
typealias PromisingHandler = @Sendable (UnsafeRawBufferPointer, Arena, CallNotes, PromisedCall) -> Void
typealias PullHandler = @Sendable ([UInt8], CallContext) async throws -> any PullSource
typealias StreamingHandler = @Sendable (NIOLoopBound<StreamingCall>, any EventLoop, CallContext) async throws -> Void

/// Answers a unary call at once. Runs on the event loop: no I/O, no waiting, microseconds.
/// - Parameter request: the message's bytes, valid during the call.
public typealias ImmediateHandler =
    @Sendable (_ request: UnsafeRawBufferPointer, _ reply: inout ImmediateReply) ->
    ImmediateOutcome

public enum ImmediateOutcome: Sendable {
    /// `reply` has the message.
    case answered
    case failed(Status)
    /// It takes longer than that: the method's async handler has the call.
    case deferred
}

/// Where an immediate handler puts its answer, and the memory it may decode in.
public struct ImmediateReply: ~Copyable {
    public let arena: Arena
    let session: HTTP2Session
    let stream: HTTP2Session.Stream

    /// Writes the one message of the response, prefix included.
    public func write(framed bytes: UnsafeRawBufferPointer) { session.write(stream, bytes) }
}

extension Status {
    /// What a request that can't be decoded is answered with.
    public static func malformed(_ error: WireError) -> Status {
        error.field.isEmpty
            ? Status(.invalidArgument, error.problem).because("MESSAGE_MALFORMED")
            : .badRequest(field: error.field, error.description)
    }
}
