import CNghttp2
import Logging
import NIOCore
import Protocol

/// gRPC on one HTTP/2 connection: bytes in, calls to the router's methods, bytes out. Belongs to its event loop.
final class GRPCConnection {
    /// A call's place: the slot is reused, the generation tells the old call from the new.
    struct CallID: Sendable, Hashable {
        var slot: UInt32
        var generation: UInt32
    }

    private struct Slot {
        var generation: UInt32 = 0
        /// The next free slot while this one is free; `noSlot` after the last.
        var nextFree = noSlot
        var stream: HTTP2Session.Stream?
        var method = 0
        var machine: CallMachine
        var call: ActiveCall?
        /// When the headers came.
        var startedAt = NIODeadline.uptimeNanoseconds(0)
        /// When something of the request came last.
        var progressAt = NIODeadline.uptimeNanoseconds(0)
        /// grpc-timeout, turned into a moment when the headers came.
        var deadline: NIODeadline?
        /// The call waits for something, and ends at its deadline.
        var isWatched = false
        /// What the interceptors found out; nil when there are none, and once they have been told the end.
        var notes: CallNotes?
        var metadata: CallMetadata?
        /// The caller's, when no interceptor has looked for it.
        var traceParent: String?
    }

    /// What a handler may want of the request's headers.
    private struct CallMetadata {
        var fields = Metadata()
        var accepted = ""
    }

    private let session: HTTP2Session
    private let loop: LoopContext
    private let router: Router
    private let limits: ServerLimits
    // Unchecked, for the checks at run time cost more than what they guarded: all of this belongs to one thread, and
    // what is called while a slot is being accessed is its own value (`CallMachine`), which can't reach this object.
    @exclusivity(unchecked) private var slots: [Slot] = []
    private var firstFree = noSlot
    private static let noSlot = UInt32.max
    /// Calls that hold a slot.
    private(set) var openCalls = 0
    private var bufferedBytes = 0
    /// No watched call's deadline is before this.
    private var earliestDeadline = NIODeadline.distantFuture
    private(set) var isDraining = false
    /// Who is at the other end; set by the transport.
    var peer = Peer()
    /// The transport is gone, and the session with it.
    private var isClosed = false
    /// Limits that were told of already, a bit for each, and streams refused so far.
    private var toldLimits = 0
    private var refusedStreams: UInt64 = 0
    /// Asks the transport to drain soon; set by the transport.
    var needsFlush: (() -> Void)?

    init(loop: LoopContext, router: Router, limits: ServerLimits) throws {
        session = try HTTP2Session(limits: limits)
        self.loop = loop
        self.router = router
        self.limits = limits
    }

    // MARK: Bytes

    /// Takes what the peer sent. After an error: drain what is left to say, and close.
    func received(_ bytes: UnsafeRawBufferPointer, at now: NIODeadline = .now()) throws {
        guard !isClosed else { return }
        loop.beganRecord(at: now)
        defer {
            loop.endedRecord()
            countRefusedStreams()
        }
        try session.feed(bytes) { process($0) }
    }

    /// The peer broke a rule that libnghttp2 does not hold it to. Drain what is left to say, and close.
    func blame(_ violation: StreamOrder.Violation) {
        guard !isClosed else { return }
        session.terminate(code: violation.rawValue)
    }

    /// A limit held; the connection goes on.
    func reached(_ limit: LimitReached, times: UInt64 = 1) {
        loop.calls.reached(limit, times: times)
        guard toldLimits & (1 << limit.rawValue) == 0 else { return }
        toldLimits |= 1 << limit.rawValue
        loop.report(limit, of: peer)
    }

    private func countRefusedStreams() {
        let refused = session.refusedStreams
        guard refused != refusedStreams else { return }
        reached(.concurrentStreams, times: refused - refusedStreams)
        refusedStreams = refused
    }

    /// What is to be sent; 0 when there is nothing.
    func drain(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        guard !isClosed else { return 0 }
        let count = try session.drain(into: buffer)
        session.walk { process($0) }
        if isDraining, !drainPingSent, count < buffer.count {
            drainPingSent = true
            session.ping(Self.drainPing)
            needsFlush?()
        }
        if endsPulls, !heldUpPullsEnded, count < buffer.count { endHeldUpPulls() }
        return count
    }

    /// Nothing more will come or go: a fatal GOAWAY is out, or either side has said GOAWAY and no stream is left.
    var isFinished: Bool { isClosed || !session.isAlive }

    var openStreams: Int { isClosed ? 0 : session.openStreams }
    /// What libnghttp2, or the shim, ended the connection for.
    var blame: ConnectionEnd? {
        guard !isClosed, session.blame != 0 else { return nil }
        switch session.fault {
        case CNG_FAULT_RESETS: return .tooManyResets
        case CNG_FAULT_STREAMS: return .tooManyStreams
        case CNG_FAULT_SETTINGS: return .tooManySettings
        default: return .protocolError
        }
    }

    /// The transport is gone. Every call is cancelled. Idempotent.
    func closed() {
        guard !isClosed else { return }
        isClosed = true
        for index in slots.indices where slots[index].stream != nil { release(index, code: .cancelled) }
        needsFlush = nil
        // Here, on the loop: a task that ignores its cancellation may be the last to let go of this object.
        session.close()
    }

    // MARK: Shutdown

    private var drainPingSent = false
    private var goAwaySent = false
    private static let drainPing: UInt64 = 0x6472_6169_6E00_0001

    /// What its calls' handlers see of it; made for the first that could look.
    private var drain: CallDrain?
    /// Pulled streams are to end, and those that the peer's windows hold up have been ended.
    private var endsPulls = false
    private var heldUpPullsEnded = false

    /// Says goodbye in two steps (gRFC A8): GOAWAY with the highest id and a PING; once that is back, the peer has
    /// stopped opening streams, and the GOAWAY with the real last id follows. Calls are finished; handlers that stream
    /// are told.
    /// - Parameter endsPulls: ends pulled streams with their source's status, after what they have ready; else they go on
    ///   until this is called again with true, or the transport closes (gRFC A9).
    func beginDraining(endsPulls: Bool) {
        guard !isClosed else { return }
        if !isDraining {
            isDraining = true
            // libnghttp2 sends a PING before all else, and this one must come after the GOAWAY; `drain` sends it.
            session.announceShutdown()
            drain?.begin()
            for slot in slots { slot.call?.streaming?.beginDraining() }
        }
        if endsPulls, !self.endsPulls {
            self.endsPulls = true
            for slot in slots { slot.call?.endSoon() }
            session.resumeAll()
        }
        needsFlush?()
    }

    /// All that can be sent has been, so the streams that are still there wait for a window that may never open. Those
    /// that stand in the middle of a message have a little patience.
    private func endHeldUpPulls() {
        heldUpPullsEnded = true
        var haveSome = false
        for index in slots.indices where slots[index].call?.isPulled == true {
            if slots[index].call?.isBetweenMessages == true { cutPull(index) } else { haveSome = true }
        }
        if haveSome {
            loop.eventLoop.scheduleTask(in: Self.heldUpPatience) { [weakly] in weakly.value.connection?.cutPulls() }
        }
        needsFlush?()
    }

    private static let heldUpPatience = TimeAmount.seconds(1)

    private func cutPulls() {
        guard !isClosed else { return }
        for index in slots.indices where slots[index].call?.isPulled == true { cutPull(index) }
        needsFlush?()
    }

    private func cutPull(_ slot: Int) {
        guard let call = slots[slot].call, let source = call.source, let stream = slots[slot].stream,
            slots[slot].machine.finished()
        else { return }
        let status = source.statusAtShutdown()
        handled(slot, status.code)
        setTrailing(stream, call.response)
        call.release()
        session.cut(stream, EncodedStatus(status))
    }

    /// Ends the calls whose one request is not whole and brought nothing since then, and what is no call and was answered.
    /// Messages of a stream may take their time.
    func endStalledRequests(since: NIODeadline) {
        guard !isClosed else { return }
        for index in slots.indices
        where slots[index].stream != nil && slots[index].machine.isReceiving && slots[index].progressAt <= since {
            finish(
                index,
                Status(.cancelled, "the request stopped before it was whole; send it without such pauses")
                    .because("REQUEST_STALLED"))
        }
        session.dismissRejected()
        needsFlush?()
    }

    // MARK: Streams that wait

    /// Asks every pulled stream again that had nothing to send.
    func resumeStreams() {
        guard !isClosed, session.hasWaitingPulls else { return }
        session.resumeAll()
        needsFlush?()
    }

    // MARK: The record

    private func process(_ events: UnsafeBufferPointer<cng_event>) {
        var index = 0
        while index < events.count {
            let event = events[index]
            index += 1
            switch UInt32(event.kind) {
            case CNG_EVENT_REQUEST.rawValue:
                requested(event.stream)
                if index == events.count || events[index].stream != event.stream { awaitRest(event.stream) }
            case CNG_EVENT_DATA.rawValue:
                // Nearly every unary request is one DATA frame with END_STREAM: then the message is not copied.
                let closes =
                    index < events.count && events[index].stream == event.stream
                    && UInt32(events[index].kind) == CNG_EVENT_HALF_CLOSED.rawValue
                if received(UnsafeRawBufferPointer(event.bytes), on: event.stream, closes: closes) {
                    index += 1
                } else if !closes {
                    awaitRest(event.stream)
                }
            case CNG_EVENT_HALF_CLOSED.rawValue:
                halfClosed(event.stream)
            case CNG_EVENT_CLOSED.rawValue:
                let slot = event.stream.pointee.slot
                if slot != .max { release(Int(slot), code: .cancelled) }
            case CNG_EVENT_DRAINED.rawValue:
                if !event.stream.pointee.gone, event.stream.pointee.slot != .max {
                    slots[Int(event.stream.pointee.slot)].call?.streaming?.drained()
                }
            case CNG_EVENT_PING_ACK.rawValue:
                if drainPingSent, !goAwaySent {
                    goAwaySent = true
                    session.goAway(code: 0)
                }
            default:
                break
            }
        }
    }

    private func requested(_ stream: HTTP2Session.Stream) {
        // Reset before its headers were looked at, as a rapid reset is (CVE-2023-44487): nobody waits for an answer.
        guard !stream.pointee.gone else { return }
        let request = stream.pointee.request
        // First: of a block that was cut, what is missing can't be judged.
        if request.headers_too_large {
            reached(.headerBytes)
            return refuse(
                stream,
                Status(
                    .resourceExhausted,
                    "the request's headers exceed \(limits.maxHeaderBytes) bytes; send less metadata"
                ).because("HEADERS_TOO_LARGE", ["limit_bytes": "\(limits.maxHeaderBytes)"]))
        }
        guard request.content_type == CNG_CONTENT_TYPE_GRPC.rawValue, request.is_post else {
            session.reject(
                stream, status: "415",
                body: "This port speaks gRPC: POST with content-type application/grpc over HTTP/2.\n")
            return
        }
        let path = UnsafeRawBufferPointer(request.path)
        guard let method = router.find(path) else {
            return refuse(stream, router.unknownMethod(path), counting: loop.calls.unknown)
        }
        var encoding = MessageEncoding.identity
        if request.encoding.length > 0 {
            guard let known = MessageEncoding(name: UnsafeRawBufferPointer(request.encoding)) else {
                let name = String(decoding: UnsafeRawBufferPointer(request.encoding).prefix(64), as: UTF8.self)
                return refuse(
                    stream,
                    Status(
                        .unimplemented, "grpc-encoding \(name) is not supported; this server accepts gzip and identity"
                    ).because("ENCODING_NOT_SUPPORTED", ["accepted": "gzip,identity"]),
                    counting: loop.calls.methods[method])
            }
            encoding = known
        }
        var deadline: NIODeadline?
        if request.timeout.start != nil {
            guard let timeout = Timeout.parse(UnsafeRawBufferPointer(request.timeout)) else {
                let text = String(decoding: UnsafeRawBufferPointer(request.timeout).prefix(32), as: UTF8.self)
                return refuse(
                    stream,
                    Status(.invalidArgument, "grpc-timeout \"\(text)\" is not 1 to 8 digits and one of H M S m u n")
                        .because("TIMEOUT_MALFORMED"),
                    counting: loop.calls.methods[method])
            }
            deadline = loop.recordBegan + .nanoseconds(min(timeout.nanosecondsClamped, Self.longestTimeout))
        }
        guard loop.openCalls < loop.maxOpenCalls else {
            reached(.openCalls)
            return refuse(
                stream,
                Status(
                    .resourceExhausted,
                    "the server has \(loop.policy.maxOpenCalls) calls open, which is its limit; try again later"
                ).because("TOO_MANY_CALLS", ["limit": "\(loop.policy.maxOpenCalls)"]).retrying(after: .seconds(1)),
                counting: loop.calls.methods[method])
        }
        guard session.unsentBytes <= limits.maxUnsentBytes else {
            reached(.unsentBytes)
            return refuse(
                stream,
                Status(
                    .resourceExhausted,
                    "this connection has more than \(limits.maxUnsentBytes) bytes of answers to read first"
                ).because("ANSWERS_UNREAD", ["limit_bytes": "\(limits.maxUnsentBytes)"]).retrying(after: .seconds(1)),
                counting: loop.calls.methods[method])
        }
        var notes: CallNotes?
        if !loop.policy.interceptors.isEmpty {
            var found = CallNotes()
            if let refusal = intercept(request, router.methods[method], &found) {
                return refuse(stream, refusal, counting: loop.calls.methods[method])
            }
            notes = found
        }
        let slot = occupy(stream, method: method, deadline: deadline, encoding: encoding)
        if notes != nil { slots[slot].notes = notes }
        loop.calls.methods[method].started()
        if router.immediates[method] != nil { return }
        if router.promisings[method] != nil {
            if notes?.traceParent == nil, let parent = session.headers(request).first("traceparent") {
                slots[slot].traceParent = TraceParent.checked(parent)
            }
            return
        }
        // What a handler may ask of the headers must be copied before the record is cleared; a method that is answered
        // at once has no use for it.
        slots[slot].metadata = metadata(request)
        if case .streaming(let handler) = router.methods[method].handler {
            slots[slot].machine.handledAtOnce()
            start(slot, stream, handler, encoding: encoding)
        }
    }

    private func metadata(_ request: cng_request) -> CallMetadata {
        var found = CallMetadata()
        for field in session.headers(request) {
            let name = String(decoding: UnsafeRawBufferPointer(field.name), as: UTF8.self)
            if name == "grpc-accept-encoding" {
                found.accepted = String(decoding: UnsafeRawBufferPointer(field.value), as: UTF8.self)
            } else {
                found.fields.receive(name, UnsafeRawBufferPointer(field.value))
            }
        }
        return found
    }

    /// Asks the interceptors in their order; those that were asked learn of the end.
    private func intercept(_ request: cng_request, _ method: RPCMethod, _ notes: inout CallNotes) -> Status? {
        let head = CallHead(
            method: method, peer: peer, openCalls: openCalls + 1, headers: session.headers(request))
        for (index, interceptor) in loop.policy.interceptors.enumerated() {
            guard case .refuse(let status) = interceptor.began(head, &notes) else { continue }
            let summary = CallSummary(path: method.path, code: status.code, duration: .zero, peer: peer, notes: notes)
            for asked in loop.policy.interceptors[...index] { asked.ended(summary) }
            return status
        }
        return nil
    }

    /// About a year: NIODeadline must not overflow.
    private static let longestTimeout: Int64 = 365 * 86_400 * 1_000_000_000

    /// Returns whether the half-close that follows in the record was taken with it.
    private func received(_ bytes: UnsafeRawBufferPointer, on stream: HTTP2Session.Stream, closes: Bool) -> Bool {
        if stream.pointee.slot != .max, let call = slots[Int(stream.pointee.slot)].call?.streaming {
            if let status = call.received(bytes) { refuseMessage(Int(stream.pointee.slot), status) }
            return false
        }
        session.consume(stream, bytes.count)
        guard stream.pointee.slot != .max else { return false }
        let slot = Int(stream.pointee.slot)
        if closes, slots[slot].machine.isFresh,
            let message = MessageDeframer.whole(bytes, limit: limits.maxRequestBytes)
        {
            slots[slot].machine.handledAtOnce()
            invoke(slot, stream, message)
            return true
        }
        let before = slots[slot].machine.buffered
        let action = slots[slot].machine.received(bytes)
        bufferedBytes += slots[slot].machine.buffered - before
        slots[slot].progressAt = loop.recordBegan
        switch action {
        case .none:
            if bufferedBytes > limits.maxBufferedBytes {
                reached(.bufferedBytes)
                finish(
                    slot,
                    Status(
                        .resourceExhausted,
                        "the incomplete requests of this connection exceed \(limits.maxBufferedBytes) bytes; send fewer at once"
                    ).because("REQUESTS_TOO_LARGE", ["limit_bytes": "\(limits.maxBufferedBytes)"]).retrying(
                        after: .seconds(1)), force: true)
            }
        case .refuse(let status):
            refuseMessage(slot, status, force: true)
        }
        return false
    }

    /// Ends a call whose request can't be taken.
    private func refuseMessage(_ slot: Int, _ status: Status, force: Bool = false) {
        // The deframer says it of nothing but messages over the limit.
        if status.code == .resourceExhausted { reached(.requestBytes) }
        finish(slot, status, force: force)
    }

    private func halfClosed(_ stream: HTTP2Session.Stream) {
        guard stream.pointee.slot != .max else { return }
        let slot = Int(stream.pointee.slot)
        if let call = slots[slot].call?.streaming {
            if let status = call.halfClosed() { finish(slot, status) }
            return
        }
        bufferedBytes -= slots[slot].machine.buffered
        switch slots[slot].machine.halfClosed() {
        case .none: break
        case .invoke(let message): message.withUnsafeBytes { invoke(slot, stream, $0) }
        case .refuse(let status): finish(slot, status, force: true)
        }
    }

    // MARK: Calls

    private func invoke(_ slot: Int, _ stream: HTTP2Session.Stream, _ message: UnsafeRawBufferPointer) {
        let method = slots[slot].method
        loop.calls.methods[method].received(1)
        if let immediate = router.immediates[method] {
            var reply = ImmediateReply(arena: loop.arena, session: session, stream: stream)
            switch immediate(message, &reply) {
            case .answered:
                _ = slots[slot].machine.finished()
                loop.answeredAtOnce(method)
                tellEnd(slot, .ok, .zero)
                session.finishOK(stream)
                return
            case .failed(let status):
                return finish(slot, status)
            case .deferred:
                break
            }
        }
        if let handler = router.promisings[method] { return promise(slot, message, handler) }
        switch router.methods[method].handler {
        case .promised:
            break  // as above
        case .unary(_, let handler):
            let bytes = Array(message)
            start(slot, stream) { context in .message(try await handler(bytes, context)) }
        case .pull(let handler):
            let bytes = Array(message)
            start(slot, stream) { context in .source(try await handler(bytes, context)) }
        case .streaming:
            break  // started with its headers
        }
    }

    private func promise(_ slot: Int, _ message: UnsafeRawBufferPointer, _ handler: PromisingHandler) {
        capDeadline(slot)
        watchDeadline(slot)
        var notes = slots[slot].notes ?? CallNotes()
        if notes.traceParent == nil { notes.traceParent = slots[slot].traceParent }
        handler(message, loop.arena, notes, PromisedCall(id(slot), on: weakly, executor: loop.executor))
    }

    /// Weak: a promise or a source may be held by any thread, and the session must not end on another than its own.
    private lazy var weakly = NIOLoopBound(WeakConnection(connection: self), eventLoop: loop.eventLoop)

    /// The answer to a promised call has come.
    func keep(_ id: CallID, _ answer: (Arena) -> Result<[UInt8], Status>) {
        let slot = Int(id.slot)
        guard slots[slot].generation == id.generation, let stream = slots[slot].stream, !slots[slot].machine.isEnded
        else { return }
        switch answer(loop.arena) {
        case .failure(let status):
            finish(slot, status)
        case .success(let bytes):
            _ = slots[slot].machine.finished()
            counters(slot).sent(1)
            handled(slot, .ok)
            bytes.withUnsafeBytes { session.write(stream, $0) }
            session.finishOK(stream)
            needsFlush?()
        }
    }

    private enum HandlerResult: Sendable {
        case message([UInt8])
        case source(any PullSource)
        case streamed
    }

    private func start(
        _ slot: Int, _ stream: HTTP2Session.Stream, _ handler: @escaping StreamingHandler, encoding: MessageEncoding
    ) {
        let call = activeCall(slot, stream)
        let response = response(slot)
        let id = id(slot)
        let streaming = StreamingCall(
            stream: StreamingCall.Stream(
                consume: { [weak self] count in self?.streamConsume(id, count) },
                write: { [weak self] bytes in self?.streamWrite(id, bytes, response) ?? 0 },
                notifyDrained: { [weak self] low in self?.streamNotify(id, low) }),
            limit: limits.maxRequestBytes, encoding: encoding, counters: counters(slot))
        call.streaming = streaming
        if isDraining { streaming.beginDraining() }
        call.response = response
        let bound = NIOLoopBound(streaming, eventLoop: loop.eventLoop)
        let eventLoop = loop.eventLoop
        start(slot, stream) { context in
            try await handler(bound, eventLoop, context)
            return .streamed
        }
    }

    private func streamConsume(_ id: CallID, _ count: Int) {
        guard !isClosed, slots[Int(id.slot)].generation == id.generation, let stream = slots[Int(id.slot)].stream,
            count > 0
        else { return }
        session.consume(stream, count)
        needsFlush?()
    }

    private func streamWrite(_ id: CallID, _ bytes: [UInt8], _ response: CallResponse) -> Int {
        guard !isClosed, slots[Int(id.slot)].generation == id.generation, let stream = slots[Int(id.slot)].stream else {
            return 0
        }
        setInitial(Int(id.slot), stream, response)
        if bytes.isEmpty {
            session.start(stream)
        } else {
            bytes.withUnsafeBytes { session.write(stream, $0) }
        }
        needsFlush?()
        return session.pending(stream)
    }

    private func streamNotify(_ id: CallID, _ low: Int) {
        guard !isClosed, slots[Int(id.slot)].generation == id.generation, let stream = slots[Int(id.slot)].stream else {
            return
        }
        session.notifyDrained(stream, at: low)
    }

    /// What the caller accepts, and what the handler wants to say besides messages.
    private func response(_ slot: Int) -> CallResponse {
        let accepted = slots[slot].metadata?.accepted ?? ""
        return CallResponse(accepted: MessageEncoding.gzip.isAccepted(by: accepted) ? .gzip : .identity)
    }

    /// Once, before the response headers go out.
    private func setInitial(_ slot: Int, _ stream: HTTP2Session.Stream, _ response: CallResponse) {
        guard let call = slots[slot].call, !call.isStarted else { return }
        call.isStarted = true
        let headers = response.settleHeaders()
        let fields = EncodedFields(headers.initial, encoding: headers.encoding)
        if !fields.isEmpty { session.setInitial(stream, fields) }
    }

    private func setTrailing(_ stream: HTTP2Session.Stream, _ response: CallResponse?) {
        guard let response else { return }
        let fields = EncodedFields(response.trailing)
        if !fields.isEmpty { session.setTrailing(stream, fields) }
    }

    private func start(
        _ slot: Int, _ stream: HTTP2Session.Stream,
        _ handler: @escaping @Sendable (CallContext) async throws -> HandlerResult
    ) {
        capDeadline(slot)
        let call = activeCall(slot, stream)
        watchDeadline(slot)
        let id = id(slot)
        let me = NIOLoopBound(self, eventLoop: loop.eventLoop)
        var remaining: Duration?
        if let deadline = slots[slot].deadline {
            let left = deadline - .now()
            guard left > .zero else { return finish(slot, Self.deadlineExceeded) }
            remaining = .nanoseconds(left.nanoseconds)
        }
        let response = call.response ?? response(slot)
        call.response = response
        let context = CallContext(
            path: router.methods[slots[slot].method].path, metadata: slots[slot].metadata?.fields ?? Metadata(),
            peer: peer, deadline: remaining.map { .now + $0 }, notes: slots[slot].notes ?? CallNotes(),
            wasRequestCompressed: slots[slot].machine.wasCompressed, drain: sharedDrain(), response: response)
        let logger = loop.logger
        call.task = loop.executor.task {
            let result = await Self.result(of: handler, context, logger: logger)
            me.value.complete(id, result)
        }
    }

    private func sharedDrain() -> CallDrain {
        if let drain { return drain }
        let made = CallDrain()
        if isDraining { made.begin() }
        drain = made
        return made
    }

    /// The request is not whole yet: its deadline holds meanwhile.
    private func awaitRest(_ stream: HTTP2Session.Stream) {
        guard stream.pointee.slot != .max else { return }
        let slot = Int(stream.pointee.slot)
        guard slots[slot].deadline != nil, !slots[slot].machine.isEnded else { return }
        _ = activeCall(slot, stream)
    }

    /// Makes the call one that waits, until its deadline at the latest.
    private func activeCall(_ slot: Int, _ stream: HTTP2Session.Stream) -> ActiveCall {
        if let call = slots[slot].call { return call }
        let call = ActiveCall(stream: stream, counters: counters(slot))
        slots[slot].call = call
        watchDeadline(slot)
        return call
    }

    /// Most calls are over long before their deadline, so that a timer for each would be set for nothing: the loop has one
    /// alarm, for the first of them.
    private func watchDeadline(_ slot: Int) {
        guard let deadline = slots[slot].deadline else { return }
        slots[slot].isWatched = true
        guard deadline < earliestDeadline else { return }
        earliestDeadline = deadline
        loop.ring(at: deadline)
    }

    /// Ends the calls whose deadline has passed.
    /// - Returns: no later than the next deadline.
    func endLateCalls(at now: NIODeadline) -> NIODeadline {
        guard !isClosed else { return .distantFuture }
        guard earliestDeadline <= now else { return earliestDeadline }
        earliestDeadline = .distantFuture
        for index in slots.indices where slots[index].isWatched && slots[index].stream != nil {
            guard let deadline = slots[index].deadline, !slots[index].machine.isEnded else { continue }
            if deadline <= now {
                finish(index, Self.deadlineExceeded)
            } else {
                earliestDeadline = min(earliestDeadline, deadline)
            }
        }
        return earliestDeadline
    }

    /// The server's cap on a unary call, from when its handler starts to work: most are answered at once, and a timer
    /// for each would cost more than the answer. A request that is slow to come has a limit of its own.
    private func capDeadline(_ slot: Int) {
        guard router.methods[slots[slot].method].kind == .unary else { return }
        let longest = min(loop.policy.longestUnaryCall.nanosecondsClamped, Self.longestTimeout)
        let cap = slots[slot].startedAt + .nanoseconds(longest)
        if let deadline = slots[slot].deadline, deadline <= cap { return }
        slots[slot].deadline = cap
    }

    private func id(_ slot: Int) -> CallID { CallID(slot: UInt32(slot), generation: slots[slot].generation) }

    private static func result(
        of handler: @Sendable (CallContext) async throws -> HandlerResult, _ context: CallContext, logger: Logger
    ) async -> Result<HandlerResult, Status> {
        do {
            return .success(try await handler(context))
        } catch {
            return .failure(status(of: error, logger: logger))
        }
    }

    private static let deadlineExceeded = Status(.deadlineExceeded, "the call's deadline passed before it was answered")

    private static func status(of error: any Error, logger: Logger) -> Status {
        if let status = error as? Status { return status }
        if error is CancellationError { return Status(.cancelled, "the call was cancelled") }
        logger.error("a handler failed with an error that is not a status", metadata: ["error": "\(error)"])
        return Status(.internal, "the server failed to answer; its log has the cause")
    }

    private func complete(_ id: CallID, _ result: Result<HandlerResult, Status>) {
        let slot = Int(id.slot)
        guard slots[slot].generation == id.generation, let call = slots[slot].call else {
            // The stream went while its handler was at work.
            if case .success(.source(let source)) = result { source.close() }
            return
        }
        switch result {
        case .failure(let status):
            finish(slot, status)
        case .success(.message(let bytes)):
            guard slots[slot].machine.finished() else { return }
            counters(slot).sent(1)
            handled(slot, .ok)
            if let response = call.response {
                setInitial(slot, call.stream, response)
                setTrailing(call.stream, response)
            }
            bytes.withUnsafeBytes { session.write(call.stream, $0) }
            session.finishOK(call.stream)
        case .success(.streamed):
            guard slots[slot].machine.finished() else { return }
            handled(slot, .ok)
            call.streaming?.end()
            if let response = call.response {
                setInitial(slot, call.stream, response)
                setTrailing(call.stream, response)
            }
            session.finishOK(call.stream)
        case .success(.source(let source)):
            guard slots[slot].machine.startedPulling() else { return source.close() }
            call.hold(source)
            if let response = call.response { setInitial(slot, call.stream, response) }
            if endsPulls { return finish(slot, source.statusAtShutdown()) }
            call.attach(StreamWake(loop.eventLoop) { [weakly] in weakly.value.connection?.resume(id) })
            session.startPull(call.stream, pullThunk, Unmanaged.passUnretained(call).toOpaque())
        }
        needsFlush?()
    }

    private func resume(_ id: CallID) {
        guard slots[Int(id.slot)].generation == id.generation, let call = slots[Int(id.slot)].call else { return }
        session.resume(call.stream)
        needsFlush?()
    }

    // MARK: Counting

    private func counters(_ slot: Int) -> CallCounters.Method { loop.calls.methods[slots[slot].method] }

    private func handled(_ slot: Int, _ code: StatusCode) {
        let nanoseconds = (NIODeadline.now() - slots[slot].startedAt).nanoseconds
        counters(slot).handled(code)
        counters(slot).took(nanoseconds: nanoseconds)
        tellEnd(slot, code, .nanoseconds(nanoseconds))
    }

    private func tellEnd(_ slot: Int, _ code: StatusCode, _ duration: Duration) {
        guard !loop.policy.interceptors.isEmpty, let notes = slots[slot].notes.take() else { return }
        let summary = CallSummary(
            path: router.methods[slots[slot].method].path, code: code, duration: duration, peer: peer, notes: notes)
        for interceptor in loop.policy.interceptors { interceptor.ended(summary) }
    }

    // MARK: Slots

    private func occupy(
        _ stream: HTTP2Session.Stream, method: Int, deadline: NIODeadline?, encoding: MessageEncoding
    ) -> Int {
        let index: Int
        if firstFree != Self.noSlot {
            index = Int(firstFree)
            firstFree = slots[index].nextFree
        } else {
            index = slots.count
            slots.append(Slot(machine: CallMachine(messageLimit: limits.maxRequestBytes)))
        }
        slots[index].stream = stream
        slots[index].method = method
        slots[index].deadline = deadline
        slots[index].isWatched = false
        slots[index].startedAt = loop.recordBegan
        slots[index].progressAt = loop.recordBegan
        slots[index].machine = CallMachine(messageLimit: limits.maxRequestBytes, encoding: encoding)
        stream.pointee.slot = UInt32(index)
        openCalls += 1
        loop.openCalls += 1
        return index
    }

    /// The stream is gone.
    private func release(_ index: Int, code: StatusCode) {
        bufferedBytes -= slots[index].machine.buffered
        let wasOpen = slots[index].machine.finished()
        if let call = slots[index].call {
            if wasOpen { handled(index, call.endedWith ?? code) }
            call.release()
            slots[index].call = nil
        } else if wasOpen {
            handled(index, code)
        }
        openCalls -= 1
        loop.openCalls -= 1
        if slots[index].metadata != nil { slots[index].metadata = nil }
        if slots[index].traceParent != nil { slots[index].traceParent = nil }
        slots[index].stream = nil
        slots[index].generation &+= 1
        slots[index].nextFree = firstFree
        firstFree = UInt32(index)
    }

    /// Ends a call with a status other than its handler's answer.
    /// - Parameter force: also when the machine has ended it itself.
    private func finish(_ slot: Int, _ status: Status, force: Bool = false) {
        // What is held of the request goes when the machine ends.
        bufferedBytes -= slots[slot].machine.buffered
        guard slots[slot].machine.finished() || force, let stream = slots[slot].stream else { return }
        handled(slot, status.code)
        if let response = slots[slot].call?.response {
            setInitial(slot, stream, response)
            setTrailing(stream, response)
        }
        slots[slot].call?.release()
        session.finish(stream, EncodedStatus(status))
        needsFlush?()
    }

    /// Ends a call that never got a slot.
    private func refuse(_ stream: HTTP2Session.Stream, _ status: Status, counting: CallCounters.Method? = nil) {
        counting?.started()
        counting?.handled(status.code)
        counting?.took(nanoseconds: 0)
        session.finish(stream, EncodedStatus(status))
    }
}

struct WeakConnection {
    weak var connection: GRPCConnection?
}

extension UnsafeRawBufferPointer {
    init(_ bytes: cng_bytes) { self.init(start: bytes.start, count: bytes.length) }
}

extension Duration {
    fileprivate var nanosecondsClamped: Int64 {
        let (seconds, attoseconds) = components
        if seconds > 9_000_000_000 { return .max }
        return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    }
}
