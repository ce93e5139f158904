import Protocol

/// The life of one call as its stream sees it, as pure values: past events in, what to do out.
///
///     receiving ──message, half-close──▶ handling ──result──▶ ended
///         │                                 │ (server stream)
///         └──refused──▶ ended               └──source──▶ pulling ──▶ ended
///
/// Events that can no longer matter (DATA after the answer, a result after the deadline) are dropped, not errors: the
/// two ends of a stream close independently (RFC 9113 §5.1).
struct CallMachine: Sendable {
    private enum State: Sendable {
        case receiving(MessageDeframer, message: [UInt8]?)
        case handling
        case pulling
        case ended
    }

    enum OnData: Equatable {
        case none
        case refuse(Status)
    }

    enum OnHalfClosed: Equatable {
        case none
        case invoke([UInt8])
        case refuse(Status)
    }

    private var state: State
    /// Whether the request message came compressed.
    private(set) var wasCompressed = false

    init(messageLimit: Int, encoding: MessageEncoding = .identity) {
        state = .receiving(MessageDeframer(limit: messageLimit, encoding: encoding), message: nil)
    }

    /// Bytes of the request held here.
    var buffered: Int {
        guard case .receiving(let deframer, let message) = state else { return 0 }
        return deframer.buffered + (message?.count ?? 0)
    }

    /// Nothing of the request has arrived.
    var isFresh: Bool {
        guard case .receiving(let deframer, nil) = state else { return false }
        return deframer.buffered == 0
    }

    /// The request is not whole.
    var isReceiving: Bool {
        if case .receiving = state { true } else { false }
    }

    var isEnded: Bool {
        if case .ended = state { true } else { false }
    }

    mutating func received(_ bytes: UnsafeRawBufferPointer) -> OnData {
        guard case .receiving(var deframer, var message) = state else { return .none }
        // Taken out first, so that the buffer is not copied.
        state = .ended
        deframer.append(bytes)
        while true {
            switch deframer.next() {
            case .needsMore:
                state = .receiving(deframer, message: message)
                return .none
            case .refused(let status):
                return .refuse(status)
            case .message(let bytes):
                guard message == nil else {
                    return .refuse(Status(.unimplemented, "this method takes one request message; more than one came"))
                }
                message = bytes
                wasCompressed = deframer.lastWasCompressed
            }
        }
    }

    mutating func halfClosed() -> OnHalfClosed {
        guard case .receiving(let deframer, let message) = state else { return .none }
        state = .ended
        guard deframer.buffered == 0 else {
            return .refuse(
                Status(.internal, "the request ended in the middle of a message, \(deframer.buffered) bytes into it"))
        }
        guard let message else {
            return .refuse(Status(.internal, "the request ended without a message; this method takes exactly one"))
        }
        state = .handling
        return .invoke(message)
    }

    /// The one message of a unary call arrived whole with its half-close, and is being handled without a copy.
    mutating func handledAtOnce() { state = .handling }

    /// Whether the result still matters.
    mutating func finished() -> Bool {
        if case .ended = state { return false }
        state = .ended
        return true
    }

    /// Whether the source still matters.
    mutating func startedPulling() -> Bool {
        guard case .handling = state else { return false }
        state = .pulling
        return true
    }
}
