import Logging
import NIOCore

/// Puts a `GRPCConnection` on a channel: one read in, one write out. What the peer may do to the connection as such,
/// `FrameScanner`, `PingPolicy`, `TokenBucket` and `ConnectionTimers` decide; here are their bytes, clock and timer.
final class GRPCChannelHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let loop: LoopContext
    private let limits: ServerLimits
    private let connection: GRPCConnection
    private let writesToSocket: Bool
    private var context: ChannelHandlerContext?
    private var socket: SocketOutput?
    /// NIO was given output that the socket did not take, and may still have some: what follows goes after it.
    private var isQueued = false
    private var isDirty = false
    private var isReading = false
    /// The peer broke HTTP/2 or was too much, or memory ran out: what is left to say is said, then the connection ends.
    private var hasFailed = false
    /// Nothing is taken any more: what was written goes out, and the peer is given the time to read it.
    private var isClosing = false
    private var closing: Scheduled<Void>?

    // Unchecked: a value that can't reach this object, whose only mutation is one call of its own.
    @exclusivity(unchecked) private var scanner = FrameScanner()
    private var pings: PingPolicy
    private var idleFrames: TokenBucket
    private var timers: ConnectionTimers
    private var alarm: (deadline: NIODeadline, task: Scheduled<Void>)?
    private var hasCalls = false
    /// Why the server ends the connection.
    private var end: ConnectionEnd?
    /// The last write ended with a whole frame, so that another may follow.
    private var isBetweenFrames = true
    /// The socket takes no output; how much has been read meanwhile, and whether a read waits for the output to move.
    private var isStuck = false
    private var inputWhileStuck = 0
    private var holdsRead = false

    /// Writes of one flush before other connections get their turn.
    private static let writesPerTurn = 16
    /// How long a peer may take the last bytes of its answers, and then how long its own bytes are thrown away until it
    /// closes too. A close with bytes of the peer unread would reset the connection, and the GOAWAY be lost with it.
    private static let lastWrite = TimeAmount.seconds(10)
    private static let linger = TimeAmount.seconds(1)
    /// Idle frames that one of a call pays for: both windows opened again.
    private static let idleFramesPerUsefulOne = 2.0
    /// An honest peer may open both windows again for each message, however short: a frame for so many bytes.
    private static let bytesPerIdleFrame = 8.0
    private static let keepalivePing: UInt64 = 0x6B65_6570_0000_0001

    /// - Parameter writesToSocket: no handler stands between this one and the channel, such as TLS, that has to see the
    ///   output.
    init(loop: LoopContext, router: Router, limits: ServerLimits, writesToSocket: Bool = false) throws {
        self.loop = loop
        self.limits = limits
        self.writesToSocket = writesToSocket
        connection = try GRPCConnection(loop: loop, router: router, limits: limits)
        let now = NIODeadline.now()
        pings = PingPolicy(limits.lifetime)
        idleFrames = TokenBucket(burst: limits.idleFrameBurst, perSecond: limits.idleFrameRate, at: now)
        timers = ConnectionTimers(limits.lifetime, acceptedAt: now, jitter: .random(in: -1...1))
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if writesToSocket { socket = SocketOutput(context.channel) }
        loop.add(self)
        connection.peer = Peer(context.channel)
        // Unowned: the connection lives in this object.
        connection.needsFlush = { [unowned self] in self.markDirty() }
        setAlarm()
        if context.channel.isActive { flush() }
    }

    func handlerRemoved(context: ChannelHandlerContext) { tearDown() }

    func channelActive(context: ChannelHandlerContext) {
        flush()
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        tearDown()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isClosing, !hasFailed else { return }
        let buffer = unwrapInboundIn(data)
        isReading = true
        let now = NIODeadline.now()
        do {
            try buffer.withUnsafeReadableBytes { bytes in
                if isStuck { inputWhileStuck += bytes.count }
                let tally = scanner.scan(bytes)
                if let end = judge(tally, at: now) { return abort(end) }
                try connection.received(bytes, at: now)
                // After libnghttp2, whose verdict goes first.
                if let violation = tally.violation { connection.blame(violation) }
            }
        } catch {
            fail(error)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isReading = false
        flush()
    }

    /// A peer that takes no answers may send only so much that has to be answered.
    func read(context: ChannelHandlerContext) {
        if isStuck, inputWhileStuck > limits.maxInputWhileStuck, !isClosing {
            if !holdsRead { connection.reached(.inputWhileStuck) }
            holdsRead = true
        } else {
            context.read()
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            flush()
            outputMoved()
        }
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        loop.logger.debug("connection failed", metadata: ["error": "\(error)"])
        context.close(promise: nil)
    }

    // MARK: For the loop

    var openCalls: Int { connection.openCalls }
    var openStreams: Int { connection.openStreams }
    func resumeStreams() { connection.resumeStreams() }
    func endLateCalls(at now: NIODeadline) -> NIODeadline { connection.endLateCalls(at: now) }
    func close() { context?.close(promise: nil) }

    func beginDraining() {
        timers.beganDraining()
        connection.beginDraining(endsPulls: true)
    }

    /// Sends what there is to send, as long as the socket takes it.
    func flush() {
        isDirty = false
        guard !isClosing, let context else { return }
        let channel = context.channel
        guard channel.isActive else { return }
        let room = loop.output
        var writes = 0
        do {
            // A write that fails can tear the connection down at once.
            while self.context != nil, takesOutput(channel) {
                let count = try connection.drain(into: room)
                isBetweenFrames = count < room.count
                guard count > 0 else { break }
                pings.sent(count)
                idleFrames.earn(Double(count) / Self.bytesPerIdleFrame)
                write(UnsafeRawBufferPointer(rebasing: room[..<count]), context)
                // What sending itself brought about has marked the connection dirty.
                if count < room.count { break }
                writes += 1
                if writes == Self.writesPerTurn {
                    markDirty()
                    break
                }
            }
        } catch {
            isBetweenFrames = false
            fail(error)
        }
        guard self.context != nil else { return }
        if hasFailed || connection.isFinished { return leave(context) }
        noteProgress(context)
    }

    // MARK: Abuse

    /// What the policies say of the frames, before anything is done about them.
    private func judge(_ tally: FrameScanner.Tally, at now: NIODeadline) -> ConnectionEnd? {
        let unfinished = scanner.unfinished
        let bringsNearer = timers.awaitsPong || unfinished != nil
        timers.received(tally, unfinished: unfinished, at: now)
        if bringsNearer { setAlarm() }
        if pings.received(tally.pings, hasCalls: hasCalls, at: now) { return .tooManyPings }
        idleFrames.earn(Double(tally.useful) * Self.idleFramesPerUsefulOne)
        if tally.idle > 0, !idleFrames.take(tally.idle, at: now) { return .tooManyIdleFrames }
        return nil
    }

    private func abort(_ end: ConnectionEnd) {
        self.end = end
        hasFailed = true
    }

    private func fail(_ error: any Error) {
        loop.logger.debug("HTTP/2 connection ended", metadata: ["error": "\(error)"])
        if end == nil, let failure = error as? HTTP2Session.Failure { end = failure.connectionEnd }
        hasFailed = true
    }

    // MARK: Time

    private func noteProgress(_ context: ChannelHandlerContext) {
        if hasCalls != (connection.openStreams > 0) {
            hasCalls.toggle()
            timers.calls(open: hasCalls, at: .now())
            setAlarm()
        }
        if !isStuck, !takesOutput(context.channel) {
            isStuck = true
            inputWhileStuck = 0
            timers.outputStuck(pending: pendingBytes(context), at: .now())
            setAlarm()
        }
    }

    private func outputMoved() {
        guard isStuck, let context, context.channel.isWritable else { return }
        isStuck = false
        timers.outputMoves()
        readOn(context)
    }

    private func readOn(_ context: ChannelHandlerContext) {
        guard holdsRead else { return }
        holdsRead = false
        context.read()
    }

    private func pendingBytes(_ context: ChannelHandlerContext) -> Int {
        (try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
    }

    /// One timer, which is only ever set to ring earlier: when what it was for has been put off, it rings for nothing
    /// and is set anew.
    private func setAlarm() {
        guard let context, !isClosing else { return }
        let next = timers.next
        if let alarm, alarm.deadline <= next { return }
        alarm?.task.cancel()
        alarm = nil
        guard next < .distantFuture else { return }
        let me = NIOLoopBound(self, eventLoop: context.eventLoop)
        alarm = (next, context.eventLoop.scheduleTask(deadline: next) { me.value.timePassed() })
    }

    private func timePassed() {
        alarm = nil
        guard let context, !isClosing else { return }
        switch timers.passed(pending: pendingBytes(context), at: .now()) {
        case .none:
            break
        case .ping:
            flush()
            sendBetweenFrames(ControlFrame.ping(Self.keepalivePing))
        case .endStalledRequests(let since):
            connection.endStalledRequests(since: since)
        case .drain(let end):
            loop.report(end, of: context.channel)
            connection.beginDraining(endsPulls: false)
        case .close(let end):
            if end == .graceOver {
                // Streams learn how to go on, before the rest is cut off.
                connection.beginDraining(endsPulls: true)
                flush()
                // What the first has found to be held up by a window.
                flush()
            }
            abort(end)
            // Who does not answer or read will not read this either.
            if end == .writeTimeout || end == .keepaliveTimeout {
                loop.report(end, of: context.channel)
                return close()
            }
            flush()
        }
        setAlarm()
    }

    // MARK: Own affairs

    private func markDirty() {
        guard !isDirty, !isReading, !isClosing else { return }
        isDirty = true
        loop.flushSoon(self)
    }

    /// Says something that libnghttp2 knows nothing of, unless one of its frames is half sent.
    private func sendBetweenFrames(_ bytes: [UInt8]) {
        guard let context, isBetweenFrames, context.channel.isWritable else { return }
        bytes.withUnsafeBytes { write($0, context) }
    }

    /// With nothing queued there is no need to ask NIO, whose state of it lies in memory of its own for each connection.
    private func takesOutput(_ channel: any Channel) -> Bool { socket != nil && !isQueued || channel.isWritable }

    private func write(_ bytes: UnsafeRawBufferPointer, _ context: ChannelHandlerContext) {
        var rest = bytes
        if let socket {
            if isQueued { isQueued = pendingBytes(context) > 0 }
            if !isQueued { rest = UnsafeRawBufferPointer(rebasing: bytes[socket.write(bytes)...]) }
            if rest.isEmpty { return }
            isQueued = true
        }
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: rest)), promise: nil)
    }

    /// Cancels what is left, and closes once the peer has had its chance to read what was written.
    private func leave(_ context: ChannelHandlerContext) {
        guard !isClosing, self.context != nil else { return }
        if let end {
            loop.report(end, of: context.channel)
            if end.isForTransport {
                sendBetweenFrames(
                    ControlFrame.goAway(
                        lastStream: scanner.lastStream, code: end.isAbuse ? ControlFrame.enhanceYourCalm : 0,
                        reason: end.rawValue))
            }
        } else if let end = connection.blame {
            // libnghttp2 has judged, and said so.
            loop.report(end, of: context.channel)
        }
        isClosing = true
        alarm?.task.cancel()
        alarm = nil
        connection.closed()
        let me = NIOLoopBound(self, eventLoop: context.eventLoop)
        let patience = hasFailed ? Self.linger : Self.lastWrite
        closing = context.eventLoop.scheduleTask(in: patience) { me.value.close() }
        readOn(context)
        // Writes complete in order, so an empty one tells of all before it.
        context.writeAndFlush(wrapOutboundOut(ByteBuffer())).whenComplete { _ in me.value.lingers() }
    }

    private func lingers() {
        guard let context else { return }
        context.close(mode: .output, promise: nil)
        closing?.cancel()
        let me = NIOLoopBound(self, eventLoop: context.eventLoop)
        closing = context.eventLoop.scheduleTask(in: Self.linger) { me.value.close() }
    }

    private func tearDown() {
        guard context != nil else { return }
        context = nil
        socket = nil
        closing?.cancel()
        closing = nil
        alarm?.task.cancel()
        alarm = nil
        loop.remove(self)
        connection.closed()
    }
}

extension HTTP2Session.Failure {
    fileprivate var connectionEnd: ConnectionEnd? {
        switch code {
        case -901: nil  // NGHTTP2_ERR_NOMEM is not the peer's doing
        case -903: .notHTTP2  // NGHTTP2_ERR_BAD_CLIENT_MAGIC
        case -904: .flood  // NGHTTP2_ERR_FLOODED
        case -905: .tooManyContinuations  // NGHTTP2_ERR_TOO_MANY_CONTINUATIONS
        default: .protocolError
        }
    }
}

extension ConnectionEnd {
    /// Whether the transport has to say GOAWAY, because libnghttp2 did not.
    fileprivate var isForTransport: Bool {
        switch self {
        case .tooManyResets, .tooManyStreams, .tooManySettings, .notHTTP2, .protocolError: false
        default: true
        }
    }
}
