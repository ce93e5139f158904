import NIOCore
import Protocol

/// A call whose messages stream in, out, or both: what stands between its handler, which waits, and its stream, which
/// must not. Belongs to the event loop; `RequestStream` and `ResponseStream` are its ends for the handler.
///
/// Back-pressure in: the peer gets its window back for a message when the handler takes it, and for the part of an
/// incomplete one as it comes, for a message may be larger than the window. Back-pressure out: a sender waits while more
/// than `highWater` bytes stand in the stream.
final class StreamingCall {
    struct Message: Sendable {
        var bytes: [UInt8]
        var wasCompressed: Bool
        /// What it took of the window.
        var wireLength: Int
    }

    /// Bytes in the stream beyond which a sender waits, and down to which it waits.
    static let highWater = 64 * 1024
    static let lowWater = 16 * 1024

    /// What the call does to its stream. Each returns at once.
    struct Stream {
        var consume: (_ bytes: Int) -> Void
        /// Writes framed messages, with the response headers first when they are not out. Bytes then pending.
        var write: (_ bytes: [UInt8]) -> Int
        var notifyDrained: (_ low: Int) -> Void
    }

    private enum Intake {
        case open
        case halfClosed
        case failed(Status)
    }

    private let stream: Stream
    private let counters: CallCounters.Method
    private var deframer: MessageDeframer
    /// Complete, and not taken by the handler.
    private var messages: [Message] = []
    private var taken = 0
    /// Of the incomplete message: bytes that the peer has had back.
    private var partialConsumed = 0
    private var intake = Intake.open
    private var reader: CheckedContinuation<Message?, any Error>?
    private var writers: [CheckedContinuation<Void, any Error>] = []
    private var isOver = false
    /// The connection is on its way out.
    private var isDraining = false
    /// Who reads takes that for the end.
    private var readerEndsAtDrain = false

    init(stream: Stream, limit: Int, encoding: MessageEncoding, counters: CallCounters.Method) {
        self.stream = stream
        self.counters = counters
        deframer = MessageDeframer(limit: limit, encoding: encoding)
    }

    // MARK: From the stream

    /// - Returns: why the call must end, when the bytes are no messages.
    func received(_ bytes: UnsafeRawBufferPointer) -> Status? {
        guard !isOver, case .open = intake else {
            stream.consume(bytes.count)
            return nil
        }
        deframer.append(bytes)
        while true {
            switch deframer.next() {
            case .message(let message):
                counters.received(1)
                messages.append(
                    Message(
                        bytes: message, wasCompressed: deframer.lastWasCompressed,
                        wireLength: deframer.lastWireLength - partialConsumed))
                partialConsumed = 0
            case .needsMore:
                let partial = deframer.buffered - partialConsumed
                if partial > 0 {
                    partialConsumed += partial
                    stream.consume(partial)
                }
                deliver()
                return nil
            case .refused(let status):
                intake = .failed(status)
                stream.consume(bytes.count)
                return status
            }
        }
    }

    /// - Returns: why the call must end, when the request stopped in the middle of a message.
    func halfClosed() -> Status? {
        guard !isOver, case .open = intake else { return nil }
        guard deframer.buffered == 0 else {
            let status = Status(
                .internal, "the request ended in the middle of a message, \(deframer.buffered) bytes into it")
            intake = .failed(status)
            return status
        }
        intake = .halfClosed
        deliver()
        return nil
    }

    func beginDraining() {
        isDraining = true
        deliver()
    }

    func drained() {
        let waiting = writers
        writers = []
        for writer in waiting { writer.resume() }
    }

    /// The call is over, whoever ended it: nobody waits for it any more.
    func end() {
        guard !isOver else { return }
        isOver = true
        messages = []
        reader?.resume(throwing: CancellationError())
        reader = nil
        let waiting = writers
        writers = []
        for writer in waiting { writer.resume(throwing: CancellationError()) }
    }

    // MARK: From the handler

    private func deliver() {
        guard let reader else { return }
        if taken < messages.count {
            self.reader = nil
            reader.resume(returning: take())
        } else if case .halfClosed = intake {
            self.reader = nil
            reader.resume(returning: nil)
        } else if isDraining, readerEndsAtDrain {
            self.reader = nil
            reader.resume(returning: nil)
        }
    }

    private func take() -> Message {
        let message = messages[taken]
        taken += 1
        if taken == messages.count {
            messages.removeAll(keepingCapacity: true)
            taken = 0
        }
        stream.consume(message.wireLength)
        return message
    }

    func next(endsAtDrain: Bool, _ continuation: CheckedContinuation<Message?, any Error>) {
        if isOver { return continuation.resume(throwing: CancellationError()) }
        if reader != nil {
            let status = Status(.internal, "two tasks read the requests of one call")
            return continuation.resume(throwing: status)
        }
        reader = continuation
        readerEndsAtDrain = endsAtDrain
        deliver()
    }

    func send(_ bytes: [UInt8], _ continuation: CheckedContinuation<Void, any Error>) {
        if isOver { return continuation.resume(throwing: CancellationError()) }
        counters.sent(1)
        guard stream.write(bytes) > Self.highWater else { return continuation.resume() }
        writers.append(continuation)
        stream.notifyDrained(Self.lowWater)
    }

    /// Headers alone, when the handler wants them out before it has a message.
    func sendHeaders() {
        guard !isOver else { return }
        _ = stream.write([])
    }
}

/// The messages of a client's stream, in order. One task at a time may iterate.
public struct RequestStream<Message: WireMessage>: AsyncSequence, Sendable {
    let call: NIOLoopBound<StreamingCall>
    let eventLoop: any EventLoop
    private var endsAtDrain = false

    init(call: NIOLoopBound<StreamingCall>, eventLoop: any EventLoop) {
        self.call = call
        self.eventLoop = eventLoop
    }

    /// The same messages, but the stream also ends when the connection is on its way out (`CallContext.drain`) and no
    /// message is waiting: for calls that a client leaves open without an aim, which would hold up the server's end.
    public func endingAtDrain() -> RequestStream {
        var copy = self
        copy.endsAtDrain = true
        return copy
    }

    public struct AsyncIterator: AsyncIteratorProtocol {
        let stream: RequestStream
        /// Whether the message that `next` returned last came compressed.
        public private(set) var wasCompressed = false

        init(stream: RequestStream) { self.stream = stream }

        /// nil once the client has ended its stream.
        /// - Throws: `CancellationError` when the call is over, `Status` when a message is malformed.
        public mutating func next() async throws -> Message? {
            let (call, eventLoop, endsAtDrain) = (stream.call, stream.eventLoop, stream.endsAtDrain)
            let taken = try await withCheckedThrowingContinuation { continuation in
                if eventLoop.inEventLoop {
                    call.value.next(endsAtDrain: endsAtDrain, continuation)
                } else {
                    eventLoop.execute { call.value.next(endsAtDrain: endsAtDrain, continuation) }
                }
            }
            guard let taken else { return nil }
            wasCompressed = taken.wasCompressed
            do {
                return try Message(decoding: taken.bytes)
            } catch {
                throw Status.malformed(error)
            }
        }
    }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(stream: self) }
}

/// Where a handler sends the messages of its response.
public struct ResponseStream<Message: WireMessage>: Sendable {
    let call: NIOLoopBound<StreamingCall>
    let eventLoop: any EventLoop
    let response: CallResponse

    /// Sends a message; waits while the peer is slow to take what stands before it.
    /// - Parameter compressed: false sends this one as it is, also when the call compresses.
    /// - Throws: `CancellationError` when the call is over.
    public func send(_ message: Message, compressed: Bool = true) async throws {
        let bytes = response.encoding.frame(message.encoded(), compressed: compressed)
        let (call, eventLoop) = (call, eventLoop)
        try await withCheckedThrowingContinuation { continuation in
            if eventLoop.inEventLoop {
                call.value.send(bytes, continuation)
            } else {
                eventLoop.execute { call.value.send(bytes, continuation) }
            }
        }
    }

    /// Sends the response headers now, rather than with the first message.
    public func sendHeaders() {
        let (call, eventLoop) = (call, eventLoop)
        if eventLoop.inEventLoop {
            call.value.sendHeaders()
        } else {
            eventLoop.execute { call.value.sendHeaders() }
        }
    }
}
