import Logging
import NIOCore

/// Puts a `GRPCConnection` on a transport: one read in, one write out. What the peer may do to the connection as such,
/// `FrameScanner`, `PingPolicy`, `TokenBucket` and `ConnectionTimers` decide; here are their bytes, clock and timer.
///
/// The transport calls `start`, then `received` and `readComplete` for each read, `outputMoves` when it takes output again
/// and `ended` when it is closed, by whomever.
final class ConnectionDriver {
    private let loop: LoopContext
    private let limits: ServerLimits
    private let connection: GRPCConnection
    /// nil before the start and after the end.
    private var transport: (any ConnectionTransport)?
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
    /// The transport takes no output; how much has been read meanwhile, and whether a read waits for the output to move.
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

    init(loop: LoopContext, router: Router, limits: ServerLimits) throws {
        self.loop = loop
        self.limits = limits
        connection = try GRPCConnection(loop: loop, router: router, limits: limits)
        let now = NIODeadline.now()
        pings = PingPolicy(limits.lifetime)
        idleFrames = TokenBucket(burst: limits.idleFrameBurst, perSecond: limits.idleFrameRate, at: now)
        timers = ConnectionTimers(limits.lifetime, acceptedAt: now, jitter: .random(in: -1...1))
    }

    // MARK: For the transport

    func start(_ transport: any ConnectionTransport, peer: Peer) {
        self.transport = transport
        loop.add(self)
        connection.peer = peer
        // Unowned: the connection lives in this object.
        connection.needsFlush = { [unowned self] in self.markDirty() }
        setAlarm()
        flush()
    }

    /// Part of a read; `readComplete` follows.
    func received(_ bytes: UnsafeRawBufferPointer) {
        guard !isClosing, !hasFailed else { return }
        isReading = true
        let now = NIODeadline.now()
        do {
            if isStuck { inputWhileStuck += bytes.count }
            let tally = scanner.scan(bytes)
            if let end = judge(tally, at: now) { return abort(end) }
            try connection.received(bytes, at: now)
            // After libnghttp2, whose verdict goes first.
            if let violation = tally.violation { connection.blame(violation) }
        } catch {
            fail(error)
        }
    }

    func readComplete() {
        isReading = false
        flush()
    }

    /// Whether to read on; if not, the transport is told when. A peer that takes no answers may send only so much that has
    /// to be answered.
    func takesInput() -> Bool {
        guard isStuck, inputWhileStuck > limits.maxInputWhileStuck, !isClosing else { return true }
        if !holdsRead { connection.reached(.inputWhileStuck) }
        holdsRead = true
        return false
    }

    /// The transport takes output again.
    func outputMoves() {
        // First: a flush that fills the socket again is not the standstill of before, however long output goes on.
        if isStuck {
            isStuck = false
            timers.outputMoves()
        }
        flush()
        if let transport { readOn(transport) }
    }

    func ended() {
        guard transport != nil else { return }
        transport = nil
        closing?.cancel()
        closing = nil
        alarm?.task.cancel()
        alarm = nil
        loop.remove(self)
        connection.closed()
    }

    /// The transport met an error, and ends.
    func transportFailed(_ error: any Error) {
        loop.logger.debug("connection failed", metadata: ["error": "\(error)"])
    }

    // MARK: For the loop

    var openCalls: Int { connection.openCalls }
    var openStreams: Int { connection.openStreams }
    func resumeStreams() { connection.resumeStreams() }
    func endLateCalls(at now: NIODeadline) -> NIODeadline { connection.endLateCalls(at: now) }
    func close() { transport?.close() }

    func beginDraining() {
        timers.beganDraining()
        connection.beginDraining(endsPulls: true)
    }

    /// Sends what there is to send, as long as the socket takes it.
    func flush() {
        isDirty = false
        guard !isClosing, let transport, transport.isOpen else { return }
        let room = loop.output
        var writes = 0
        do {
            // A write that fails can tear the connection down at once.
            while self.transport != nil, transport.takesOutput {
                let count = try connection.drain(into: room)
                isBetweenFrames = count < room.count
                guard count > 0 else { break }
                pings.sent(count)
                idleFrames.earn(Double(count) / Self.bytesPerIdleFrame)
                transport.write(UnsafeRawBufferPointer(rebasing: room[..<count]))
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
        guard self.transport != nil else { return }
        if hasFailed || connection.isFinished { return leave(transport) }
        noteProgress(transport)
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

    private func noteProgress(_ transport: any ConnectionTransport) {
        if hasCalls != (connection.openStreams > 0) {
            hasCalls.toggle()
            timers.calls(open: hasCalls, at: .now())
            setAlarm()
        }
        if !isStuck, !transport.takesOutput {
            isStuck = true
            inputWhileStuck = 0
            timers.outputStuck(pending: transport.pendingBytes, at: .now())
            setAlarm()
        }
    }

    private func readOn(_ transport: any ConnectionTransport) {
        guard holdsRead else { return }
        holdsRead = false
        transport.readOn()
    }

    /// One timer, which is only ever set to ring earlier: when what it was for has been put off, it rings for nothing
    /// and is set anew.
    private func setAlarm() {
        guard transport != nil, !isClosing else { return }
        let next = timers.next
        if let alarm, alarm.deadline <= next { return }
        alarm?.task.cancel()
        alarm = nil
        guard next < .distantFuture else { return }
        let me = NIOLoopBound(self, eventLoop: loop.eventLoop)
        alarm = (next, loop.eventLoop.scheduleTask(deadline: next) { me.value.timePassed() })
    }

    private func timePassed() {
        alarm = nil
        guard let transport, !isClosing else { return }
        switch timers.passed(pending: transport.pendingBytes, at: .now()) {
        case .none:
            break
        case .ping:
            flush()
            sendBetweenFrames(ControlFrame.ping(Self.keepalivePing))
        case .endStalledRequests(let since):
            connection.endStalledRequests(since: since)
        case .drain(let end):
            loop.report(end, of: connection.peer)
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
                loop.report(end, of: connection.peer)
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
        guard let transport, isBetweenFrames, transport.takesOutput else { return }
        bytes.withUnsafeBytes { transport.write($0) }
    }

    /// Cancels what is left, and closes once the peer has had its chance to read what was written.
    private func leave(_ transport: any ConnectionTransport) {
        guard !isClosing else { return }
        if let end {
            loop.report(end, of: connection.peer)
            if end.isForTransport {
                sendBetweenFrames(
                    ControlFrame.goAway(
                        lastStream: scanner.lastStream, code: end.isAbuse ? ControlFrame.enhanceYourCalm : 0,
                        reason: end.rawValue))
            }
        } else if let end = connection.blame {
            // libnghttp2 has judged, and said so.
            loop.report(end, of: connection.peer)
        }
        isClosing = true
        alarm?.task.cancel()
        alarm = nil
        connection.closed()
        close(in: hasFailed ? Self.linger : Self.lastWrite)
        readOn(transport)
        let me = NIOLoopBound(self, eventLoop: loop.eventLoop)
        transport.whenWritten { me.value.lingers() }
    }

    private func lingers() {
        guard let transport else { return }
        transport.closeOutput()
        close(in: Self.linger)
    }

    private func close(in patience: TimeAmount) {
        closing?.cancel()
        let me = NIOLoopBound(self, eventLoop: loop.eventLoop)
        closing = loop.eventLoop.scheduleTask(in: patience) { me.value.close() }
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
