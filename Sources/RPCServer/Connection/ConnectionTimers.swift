import NIOCore

/// What a connection has to do because of time alone, as pure values: past events in, the next moment to look out, and
/// at that moment what to do. The handler around it holds one timer, set for `next`; events that put a moment off need
/// not touch it.
struct ConnectionTimers: Sendable {
    enum Action: Equatable, Sendable {
        case none
        /// Ask whether the peer is still there.
        case ping
        /// End requests of which nothing has come since then.
        case endStalledRequests(since: NIODeadline)
        /// Say goodbye; calls go on.
        case drain(ConnectionEnd)
        case close(ConnectionEnd)
    }

    private let idleTimeout, grace, keepaliveInterval, requestTimeout, frameTimeout, writeTimeout: TimeAmount?
    private let keepaliveTimeout: TimeAmount

    private var age: NIODeadline?
    private var firstSettings: NIODeadline?
    private var frame: (ordinal: UInt64, deadline: NIODeadline)?
    private var write: (pending: Int, deadline: NIODeadline)?
    /// When to look for requests that do not get on.
    private var requests: NIODeadline?
    private var idleSince: NIODeadline?
    private var lastRead: NIODeadline
    private var pong: NIODeadline?
    private var graceEnd: NIODeadline?
    private var isDraining = false

    /// Of the age, either way (gRFC A9), so that connections opened together do not end together.
    private static let ageJitter = 0.1

    /// - Parameter jitter: from -1 to 1, at random.
    init(_ lifetime: ConnectionLifetime, acceptedAt now: NIODeadline, jitter: Double) {
        idleTimeout = lifetime.idleTimeout.map { TimeAmount($0) }
        grace = lifetime.grace.map { TimeAmount($0) }
        keepaliveInterval = lifetime.keepaliveInterval.map { TimeAmount($0) }
        keepaliveTimeout = TimeAmount(lifetime.keepaliveTimeout)
        requestTimeout = lifetime.requestTimeout.map { TimeAmount($0) }
        frameTimeout = lifetime.frameTimeout.map { TimeAmount($0) }
        writeTimeout = lifetime.writeTimeout.map { TimeAmount($0) }
        age = lifetime.maxAge.map { now + TimeAmount($0, times: 1 + jitter * Self.ageJitter) }
        firstSettings = lifetime.firstSettingsTimeout.map { now + TimeAmount($0) }
        idleSince = now
        lastRead = now
    }

    // MARK: Past events

    /// - Parameter unfinished: `FrameScanner.unfinished`.
    mutating func received(_ tally: FrameScanner.Tally, unfinished: UInt64?, at now: NIODeadline) {
        lastRead = now
        pong = nil
        if tally.hasSettings { firstSettings = nil }
        // A call may be over before anybody asks whether one is open.
        if tally.useful > 0, idleSince != nil { idleSince = now }
        guard let unfinished, let frameTimeout else {
            frame = nil
            return
        }
        if frame?.ordinal != unfinished { frame = (unfinished, now + frameTimeout) }
    }

    mutating func calls(open: Bool, at now: NIODeadline) {
        if open {
            idleSince = nil
            if requests == nil { requests = requestTimeout.map { now + $0 } }
        } else if idleSince == nil {
            idleSince = now
        }
    }

    /// A PING is on its way; when its answer comes, the next is nearer than its deadline was.
    var awaitsPong: Bool { pong != nil }

    /// The socket refuses output: so many bytes wait.
    mutating func outputStuck(pending: Int, at now: NIODeadline) {
        guard let writeTimeout else { return }
        if let write, write.pending <= pending { return }
        write = (pending, now + writeTimeout)
    }

    mutating func outputMoves() { write = nil }

    /// The server is shutting down, and sees to the end itself.
    mutating func beganDraining() { isDraining = true }

    // MARK: Time

    /// When to ask `passed` next; never before `now`, if nothing more happens.
    var next: NIODeadline {
        var next = NIODeadline.distantFuture
        func consider(_ moment: NIODeadline?) {
            if let moment, moment < next { next = moment }
        }
        consider(firstSettings)
        consider(frame?.deadline)
        consider(write?.deadline)
        consider(pong ?? keepaliveInterval.map { lastRead + $0 })
        consider(graceEnd)
        consider(requests)
        if !isDraining {
            consider(age)
            consider(idleEnd)
        }
        return next
    }

    private var idleEnd: NIODeadline? {
        guard let idleSince, let idleTimeout else { return nil }
        return idleSince + idleTimeout
    }

    /// - Parameter pending: bytes that the socket has not taken.
    mutating func passed(pending: Int, at now: NIODeadline) -> Action {
        if let firstSettings, now >= firstSettings { return .close(.firstSettingsTimeout) }
        if let frame, now >= frame.deadline { return .close(.frameTimeout) }
        if write != nil {
            // Fewer than last time: it takes some.
            outputStuck(pending: pending, at: now)
            if let write, now >= write.deadline { return .close(.writeTimeout) }
        }
        if let pong, now >= pong { return .close(.keepaliveTimeout) }
        if let graceEnd, now >= graceEnd { return .close(.graceOver) }
        if !isDraining {
            if let age, now >= age { return drain(.maxAge, now) }
            if let idleEnd, now >= idleEnd { return drain(.idle, now) }
        }
        if let due = requests, let requestTimeout, now >= due {
            // Looked at again and again while there are calls, so that one has at most twice its time.
            requests = idleSince == nil ? now + requestTimeout : nil
            return .endStalledRequests(since: now - requestTimeout)
        }
        if pong == nil, let keepaliveInterval, now - lastRead >= keepaliveInterval {
            pong = now + keepaliveTimeout
            return .ping
        }
        return .none
    }

    private mutating func drain(_ end: ConnectionEnd, _ now: NIODeadline) -> Action {
        isDraining = true
        graceEnd = grace.map { now + $0 }
        return .drain(end)
    }
}
