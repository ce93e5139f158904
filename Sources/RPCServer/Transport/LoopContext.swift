import Logging
import NIOCore
import Protocol
import Synchronization

/// What the connections of one event loop share.
final class LoopContext {
    let eventLoop: any EventLoop
    let executor: LoopExecutor
    let arena = Arena()
    let calls: CallCounters
    let counts: ConnectionCounters
    let logger: Logger
    let policy: CallPolicy
    /// This loop's share of the calls that may be open.
    let maxOpenCalls: Int
    /// Calls open on the loop's connections.
    var openCalls = 0
    /// Output is gathered here and written at once. No `ByteBuffer`: each look at one is checked at run time for exclusive
    /// access.
    let output = UnsafeMutableRawBufferPointer.allocate(byteCount: LoopContext.writeSize, alignment: 16)
    private(set) var connections: [ObjectIdentifier: ConnectionDriver] = [:]
    private var dirty: [ConnectionDriver] = []
    private var isDraining = false

    /// One write: large enough for the answers to a full read, small enough to lie in a slow peer's channel.
    static let writeSize = 64 * 1024

    init(
        eventLoop: any EventLoop, calls: CallCounters, counts: ConnectionCounters = ConnectionCounters(),
        logger: Logger,
        policy: CallPolicy = CallPolicy(), loops: Int = 1
    ) {
        self.eventLoop = eventLoop
        self.calls = calls
        self.counts = counts
        self.logger = logger
        self.policy = policy
        maxOpenCalls = max(1, policy.maxOpenCalls / loops)
        executor = LoopExecutor(eventLoop)
        answered = Array(repeating: 0, count: calls.methods.count)
    }

    deinit { output.deallocate() }

    /// Counts a connection that the server ends. Abuse is logged, once for a connection and not without end.
    func report(_ end: ConnectionEnd, of peer: Peer) {
        let isLoud = counts.ended(end, host: peer.host)
        logger.log(
            level: isLoud ? .notice : .debug, "connection ended by the server",
            metadata: ["reason": "\(end.rawValue)", "peer": "\(peer.address.isEmpty ? "unknown" : peer.address)"])
    }

    /// Logs that a connection ran into a limit for the first time; its later times are counted only.
    func report(_ limit: LimitReached, of peer: Peer) {
        guard counts.log.admits(peer.host, limit.label) else { return }
        logger.notice("a peer ran into a limit", metadata: ["limit": "\(limit.label)", "peer": "\(peer.address)"])
    }

    // MARK: Time

    /// When the record being walked was begun: one look at the clock serves all its calls.
    private(set) var recordBegan = NIODeadline.uptimeNanoseconds(0)
    /// Calls answered at once since then, by method. Unchecked: these lines belong to one thread, and nothing is called
    /// while they access it.
    @exclusivity(unchecked) private var answered: [Int]
    private var answeredTotal = 0

    func beganRecord(at now: NIODeadline) { recordBegan = now }

    func answeredAtOnce(_ method: Int) {
        answered[method] += 1
        answeredTotal += 1
    }

    /// Each call answered at once took its share of the walk; a clock read for each would cost more than some answers.
    func endedRecord() {
        guard answeredTotal > 0 else { return }
        let share = (NIODeadline.now() - recordBegan).nanoseconds / Int64(answeredTotal)
        answeredTotal = 0
        for method in answered.indices where answered[method] > 0 {
            let count = answered[method]
            calls.methods[method].handled(.ok, calls: count)
            calls.methods[method].sent(count)
            calls.methods[method].took(nanoseconds: share, calls: count)
            answered[method] = 0
        }
    }

    /// Rings when the first deadline of a call may have passed. It is only ever set to ring earlier: when that call is over
    /// by then, it rings for nothing and is set anew.
    private var alarm: (deadline: NIODeadline, task: Scheduled<Void>)?
    private var rangAt = NIODeadline.uptimeNanoseconds(0)
    /// Each ring asks every connection, so deadlines may be this much late.
    private static let ringSpacing = TimeAmount.milliseconds(1)

    func ring(at deadline: NIODeadline) {
        let deadline = max(deadline, rangAt + Self.ringSpacing)
        if let alarm, alarm.deadline <= deadline { return }
        alarm?.task.cancel()
        let me = NIOLoopBound(WeakLoop(loop: self), eventLoop: eventLoop)
        alarm = (deadline, eventLoop.scheduleTask(deadline: deadline) { me.value.loop?.deadlinePassed() })
    }

    private func deadlinePassed() {
        alarm = nil
        rangAt = .now()
        let next = connections.values.reduce(.distantFuture) { min($0, $1.endLateCalls(at: rangAt)) }
        if next < .distantFuture { ring(at: next) }
    }

    func add(_ driver: ConnectionDriver) {
        connections[ObjectIdentifier(driver)] = driver
        // Accepted before the listener closed, and here only now.
        if isDraining { driver.beginDraining() }
    }
    func remove(_ driver: ConnectionDriver) { connections[ObjectIdentifier(driver)] = nil }

    func beginDraining() {
        isDraining = true
        for driver in connections.values { driver.beginDraining() }
    }

    /// Flushes the connection once this turn's work is done, however many calls it completes.
    func flushSoon(_ driver: ConnectionDriver) {
        dirty.append(driver)
        guard dirty.count == 1 else { return }
        let me = NIOLoopBound(self, eventLoop: eventLoop)
        eventLoop.execute { me.value.flushDirty() }
    }

    private func flushDirty() {
        let drivers = dirty
        dirty.removeAll(keepingCapacity: true)
        for driver in drivers { driver.flush() }
    }
}

private struct WeakLoop {
    weak var loop: LoopContext?
}
