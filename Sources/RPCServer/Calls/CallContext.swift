import Protocol
import Synchronization

/// What a handler may know of its call besides the request, and what it may say besides the response.
public struct CallContext: Sendable {
    /// `/package.Service/Method`.
    public let path: String
    /// The caller's header fields.
    public let metadata: Metadata
    public let peer: Peer
    /// When the caller, or the server's cap, stops waiting; nil when neither set a deadline.
    public let deadline: ContinuousClock.Instant?
    /// What the interceptors found out.
    public let notes: CallNotes
    /// Whether the one request message came compressed; false where requests stream, for their iterator tells.
    public let wasRequestCompressed: Bool
    /// Whether the connection is on its way out.
    public let drain: CallDrain
    /// Metadata and compression of the response.
    public let response: CallResponse

    /// The caller's W3C `traceparent`, whether or not an interceptor has looked at it; nil when it is not one.
    public var traceParent: String? { notes.traceParent ?? metadata.text("traceparent").flatMap(TraceParent.checked) }
}

/// What goes with a response besides its messages. A handler sets it before the first message, or, for trailers, before
/// it returns or throws.
public final class CallResponse: Sendable {
    private struct State {
        var initial = Metadata()
        var trailing = Metadata()
        var encoding = MessageEncoding.identity
        var areHeadersSettled = false
    }

    /// The best of what the caller accepts.
    let accepted: MessageEncoding
    private let state = Mutex(State())

    init(accepted: MessageEncoding) { self.accepted = accepted }

    /// Fields of the response headers.
    public func setInitial(_ metadata: Metadata) { state.withLock { $0.initial = metadata } }

    /// Fields of the trailers.
    public func setTrailing(_ metadata: Metadata) { state.withLock { $0.trailing = metadata } }

    /// Compresses messages from now on where the caller accepts it. Does nothing after the first message, for the
    /// headers must announce it; a single message of a stream may then still go as it is.
    public func compress() {
        state.withLock { state in
            if !state.areHeadersSettled { state.encoding = accepted }
        }
    }

    /// The headers go out with what is set now.
    func settleHeaders() -> (initial: Metadata, encoding: MessageEncoding) {
        state.withLock { state in
            state.areHeadersSettled = true
            return (state.initial, state.encoding)
        }
    }

    var trailing: Metadata { state.withLock { $0.trailing } }
    var encoding: MessageEncoding { state.withLock { $0.encoding } }
}
