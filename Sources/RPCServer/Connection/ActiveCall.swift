import CNghttp2
import NIOCore
import Protocol

/// What a call holds while it waits for its handler or is pulled. Unary calls answered at once never have one.
final class ActiveCall {
    var task: Task<Void, Never>?
    /// When its messages stream through a handler.
    var streaming: StreamingCall?
    /// What the handler says besides messages; nil until it has started.
    var response: CallResponse?
    /// The response headers are settled.
    var isStarted = false
    private(set) var source: (any PullSource)?
    private var wake: StreamWake?
    let stream: HTTP2Session.Stream
    private(set) var endedWith: StatusCode?

    private let counters: CallCounters.Method
    private var sent = MessageCounter()
    /// How the stream ends once its source has nothing ready, and after so many bytes at the end of a message.
    private var ending: (status: Status, allowance: Int)?

    /// Enough for what a subscriber of live events has not got yet; who is behind by more resumes elsewhere.
    private static let endingAllowance = 256 * 1024

    init(stream: HTTP2Session.Stream, counters: CallCounters.Method) {
        self.stream = stream
        self.counters = counters
    }

    func hold(_ source: any PullSource) { self.source = source }

    func attach(_ wake: StreamWake) {
        self.wake = wake
        source?.attach { wake.wake() }
    }

    /// It has a source, which has not come to its end.
    var isPulled: Bool { source != nil && endedWith == nil }

    /// What has been pulled ends with a whole message.
    var isBetweenMessages: Bool { sent.isBetweenMessages }

    /// Ends a pulled stream as at shutdown: after what its source has ready. To be asked for bytes once more.
    func endSoon() {
        guard let source, ending == nil else { return }
        ending = (source.statusAtShutdown(), Self.endingAllowance)
    }

    /// Ends whatever goes on for the call. Idempotent.
    func release() {
        task?.cancel()
        task = nil
        streaming?.end()
        wake?.cancel()
        wake = nil
        source?.close()
        source = nil
    }

    /// libnghttp2 asks for bytes of the stream. Runs inside `HTTP2Session.drain`.
    fileprivate func pull(into buffer: UnsafeMutableRawBufferPointer, ended: inout Bool) -> Int {
        let filled = fill(buffer, ended: &ended)
        let messages = sent.count(UnsafeRawBufferPointer(rebasing: buffer[..<filled]))
        if messages > 0 { counters.sent(messages) }
        guard let ending, endedWith == nil else { return filled }
        self.ending?.allowance -= filled
        guard ending.allowance <= filled, sent.lastEnd > 0 else { return filled }
        end(with: ending.status)
        ended = true
        return sent.lastEnd
    }

    private func fill(_ buffer: UnsafeMutableRawBufferPointer, ended: inout Bool) -> Int {
        guard let source, endedWith == nil else { return 0 }
        var filled = 0
        while filled < buffer.count {
            let room = UnsafeMutableRawBufferPointer(rebasing: buffer[filled...])
            switch source.read(into: room) {
            case .bytes(let count):
                precondition(count > 0 && count <= room.count, "a pull source returned \(count) of \(room.count) bytes")
                filled += count
            case .pending:
                if let ending {
                    end(with: ending.status)
                    ended = true
                }
                return filled
            case .ended(let status):
                end(with: status)
                ended = true
                return filled
            }
        }
        return filled
    }

    private func end(with status: Status) {
        endedWith = status.code
        EncodedStatus(status).withBytes { message, details in
            cng_stream_set_status(stream, UInt32(status.code.rawValue), message, details)
        }
    }
}

/// The C side of `ActiveCall.pull`. The context is kept alive by the connection until the stream has closed.
let pullThunk: cng_pull = { context, buffer, capacity, ended in
    guard let context, let buffer, let ended else { return 0 }
    let call = Unmanaged<ActiveCall>.fromOpaque(context).takeUnretainedValue()
    return call.pull(into: UnsafeMutableRawBufferPointer(start: buffer, count: capacity), ended: &ended.pointee)
}
