import CLinux
import Foundation
import Glibc
import NIOCore
import Synchronization

/// Whom a loop tells of a socket. Everything is told once (epoll(7), edge-triggered): who does not read all there is asks
/// for another turn.
protocol SocketWatcher: AnyObject {
    /// There is something to read.
    ///
    /// - Parameter isLast: the peer's end or an error comes after it.
    func readable(isLast: Bool)
    /// There is room for output.
    func writable()
}

/// An event loop of sockets, on a thread and an epoll(7) of its own.
///
/// NIO's loops carry whatever stands in a channel's pipeline, and a read costs them some thousand instructions before the
/// first handler sees it: with one call a read, a tenth of all that the server does. Plaintext connections need a socket
/// and nothing else. To the rest of the server this one is a loop like NIO's.
final class SocketLoop: EventLoop {
    /// A socket's place in the loop: the index is used again, the generation tells the old one from the new.
    struct Watch {
        fileprivate let descriptor: Int32
        fileprivate let index: UInt32
        fileprivate let generation: UInt32
        fileprivate var token: UInt64 { UInt64(generation) << 32 | UInt64(index) }
    }

    private struct Place {
        var generation: UInt32 = 0
        var watcher: (any SocketWatcher)?
        /// It has asked for another turn and has not had it: one a turn, however many edges come beside it.
        var isAsking = false
    }

    private struct Mailbox {
        var tasks: [() -> Void] = []
        /// The loop will look into the mailbox before it sleeps, or has been woken.
        var isAwake = true
        /// Nothing is taken any more.
        var isClosed = false
    }

    private struct Timer {
        var ring: () -> Void
        /// The loop ends before it.
        var abandon: () -> Void
    }

    /// What only the loop's own thread touches.
    private struct Own {
        var tasks: [() -> Void] = []
        var timers = LoopTimers<Timer>()
        var places: [Place] = []
        var free: [UInt32] = []
        /// Those that asked for another turn.
        var again: [UInt64] = []
        var whenStopped: (() -> Void)?
    }

    private let epoll: Int32
    private let wake: Int32
    private let thread = Atomic<UInt>(0)
    private let lastTimer = Atomic<UInt64>(0)
    private let mailbox = Mutex(Mailbox())
    // Unchecked: reached only on the loop's thread, and nothing is called while it is being accessed.
    @exclusivity(unchecked) nonisolated(unsafe) private var own = Own()
    /// Where its sockets' bytes are read to, one read at a time. Of the loop's thread.
    nonisolated(unsafe) let input = UnsafeMutableRawBufferPointer.allocate(byteCount: readSize, alignment: 16)

    /// Suffices for the rate; a larger one lets a single connection keep the others waiting.
    private static let readSize = 16 * 1_024
    private static let eventsAtOnce = 256
    private static let wakeToken = UInt64.max
    /// Of tasks that hand in others, once the loop is to end.
    private static let lastRounds = 1_000

    /// - Throws: `IOError` when there is no descriptor left.
    init(name: String) throws {
        epoll = clinux_epoll_create()
        guard epoll >= 0 else { throw IOError(errnoCode: errno, reason: "epoll_create1") }
        wake = clinux_eventfd()
        guard wake >= 0 else {
            // From here on `deinit` closes what there is.
            throw IOError(errnoCode: errno, reason: "eventfd")
        }
        // Told of its edges, it need not be read.
        guard clinux_epoll_watch(epoll, wake, Self.wakeToken) == 0 else {
            throw IOError(errnoCode: errno, reason: "epoll_ctl")
        }
        let thread = Thread { self.run() }
        thread.name = name
        thread.start()
    }

    deinit {
        input.deallocate()
        Glibc.close(epoll)
        if wake >= 0 { Glibc.close(wake) }
    }

    // MARK: Sockets, on the loop

    /// - Parameter descriptor: of a socket that does not block.
    /// - Throws: `IOError`.
    func watch(_ descriptor: Int32, _ watcher: any SocketWatcher) throws -> Watch {
        let index = own.free.popLast() ?? UInt32(own.places.count)
        if index == own.places.count { own.places.append(Place()) }
        let watch = Watch(descriptor: descriptor, index: index, generation: own.places[Int(index)].generation)
        guard clinux_epoll_watch(epoll, descriptor, watch.token) == 0 else {
            own.free.append(index)
            throw IOError(errnoCode: errno, reason: "epoll_ctl")
        }
        own.places[Int(index)].watcher = watcher
        return watch
    }

    /// There may be more to read: tells of it once more, after the others had their turn.
    func again(_ watch: Watch) {
        let index = Int(watch.index)
        guard own.places[index].generation == watch.generation, !own.places[index].isAsking else { return }
        own.places[index].isAsking = true
        own.again.append(watch.token)
    }

    /// To be called before the descriptor is closed.
    func unwatch(_ watch: Watch) {
        _ = clinux_epoll_unwatch(epoll, watch.descriptor)
        own.places[Int(watch.index)].watcher = nil
        own.places[Int(watch.index)].isAsking = false
        own.places[Int(watch.index)].generation &+= 1
        own.free.append(watch.index)
    }

    private func watcher(_ token: UInt64) -> (any SocketWatcher)? {
        let place = own.places[Int(UInt32(truncatingIfNeeded: token))]
        // It may have gone while an earlier event of the same look was dealt with, and another have come.
        return place.generation == UInt32(token >> 32) ? place.watcher : nil
    }

    // MARK: The thread

    private func run() {
        thread.store(UInt(pthread_self()), ordering: .releasing)
        let events = UnsafeMutablePointer<clinux_event>.allocate(capacity: Self.eventsAtOnce)
        defer { events.deallocate() }
        while true {
            runTasks()
            // One look at the clock: what rings may set another.
            let now = NIODeadline.now()
            while let timer = own.timers.popDue(now) { timer.ring() }
            if let whenStopped = own.whenStopped {
                stopped()
                return whenStopped()
            }
            let count = clinux_epoll_wait(epoll, events, Int32(Self.eventsAtOnce), sleep())
            let again = own.again
            own.again.removeAll(keepingCapacity: true)
            for place in 0..<max(0, Int(count)) { handle(events[place]) }
            for token in again {
                guard let watcher = watcher(token) else { continue }
                own.places[Int(UInt32(truncatingIfNeeded: token))].isAsking = false
                watcher.readable(isLast: false)
            }
        }
    }

    private func handle(_ event: clinux_event) {
        if event.token == Self.wakeToken { return }
        let ready = Int(event.ready)
        if ready & CLINUX_OUTPUT != 0 { watcher(event.token)?.writable() }
        if ready & (CLINUX_INPUT | CLINUX_END) != 0 {
            watcher(event.token)?.readable(isLast: ready & CLINUX_END != 0)
        }
    }

    /// Those that are there, other threads' first; what they bring about comes after the sockets had a turn.
    private func runTasks() {
        let handedIn = mailbox.withLock { mailbox in
            mailbox.isAwake = true
            guard !mailbox.tasks.isEmpty else { return [() -> Void]() }
            defer { mailbox.tasks = [] }
            return mailbox.tasks
        }
        for task in handedIn { task() }
        guard !own.tasks.isEmpty else { return }
        var tasks: [() -> Void] = []
        swap(&tasks, &own.tasks)
        for task in tasks { task() }
    }

    /// - Returns: milliseconds for which the loop may sleep, rounded up: a timer must not ring early. -1 without a limit.
    private func sleep() -> Int32 {
        guard own.tasks.isEmpty, own.again.isEmpty, own.whenStopped == nil else { return 0 }
        let next = own.timers.next()
        let mayNot = mailbox.withLock { mailbox in
            guard mailbox.tasks.isEmpty else { return true }
            mailbox.isAwake = false
            return false
        }
        if mayNot { return 0 }
        guard let next else { return -1 }
        let left = (next - .now()).nanoseconds
        return left <= 0 ? 0 : Int32(clamping: (left - 1) / 1_000_000 + 1)
    }

    private func stopped() {
        let last = mailbox.withLock { mailbox in
            mailbox.isClosed = true
            defer { mailbox.tasks = [] }
            return mailbox.tasks
        }
        // What has been taken is done, and what follows from it: handlers that were cancelled come to their end.
        var tasks = last + own.tasks
        own.tasks = []
        for _ in 0..<Self.lastRounds {
            for task in tasks { task() }
            for timer in own.timers.all { timer.abandon() }
            own.timers = LoopTimers()
            tasks = []
            swap(&tasks, &own.tasks)
            if tasks.isEmpty { break }
        }
        own = Own()
        // A thread of later may get this one's identity.
        thread.store(0, ordering: .releasing)
    }

    /// Returns once the thread takes no work any more. To be called once; sockets are closed before.
    func stop() async {
        await withCheckedContinuation { caller in stop { caller.resume() } }
    }

    /// - Parameter whenStopped: called on the thread that ends.
    func stop(_ whenStopped: @escaping @Sendable () -> Void) { execute { self.own.whenStopped = whenStopped } }

    // MARK: EventLoop

    var inEventLoop: Bool { thread.load(ordering: .acquiring) == UInt(pthread_self()) }

    func execute(_ task: @escaping @Sendable () -> Void) { _ = handIn(task) }

    /// - Returns: false when the loop has ended.
    private func handIn(_ task: @escaping @Sendable () -> Void) -> Bool {
        if inEventLoop {
            own.tasks.append(task)
            return true
        }
        let (isTaken, wakes) = mailbox.withLock { mailbox in
            guard !mailbox.isClosed else { return (false, false) }
            mailbox.tasks.append(task)
            defer { mailbox.isAwake = true }
            return (true, !mailbox.isAwake)
        }
        if wakes {
            var one: UInt64 = 1
            _ = write(wake, &one, 8)
        }
        return isTaken
    }

    func submit<T>(_ task: @escaping @Sendable () throws -> T) -> EventLoopFuture<T> {
        let promise = makePromise(of: T.self)
        let isTaken = handIn { promise.assumeIsolated().completeWith(Result { try task() }) }
        if !isTaken { promise.fail(EventLoopError.shutdown) }
        return promise.futureResult
    }

    @discardableResult
    func scheduleTask<T>(deadline: NIODeadline, _ task: @escaping @Sendable () throws -> T) -> Scheduled<T> {
        let promise = makePromise(of: T.self)
        let id = lastTimer.wrappingAdd(1, ordering: .relaxed).newValue
        let add: @Sendable () -> Void = {
            let timer = Timer(
                ring: { promise.assumeIsolated().completeWith(Result { try task() }) },
                abandon: { promise.fail(EventLoopError.shutdown) })
            self.own.timers.add(id, deadline, timer)
        }
        let isHere = inEventLoop
        if isHere { add() } else if !handIn(add) { promise.fail(EventLoopError.shutdown) }
        return Scheduled(promise: promise) {
            // One from another thread may still be on its way here, and is here when the loop's own tasks run.
            if isHere, self.inEventLoop {
                self.own.timers.cancel(id)
            } else {
                self.execute { self.own.timers.cancel(id) }
            }
        }
    }

    @discardableResult
    func scheduleTask<T>(in delay: TimeAmount, _ task: @escaping @Sendable () throws -> T) -> Scheduled<T> {
        scheduleTask(deadline: .now() + delay, task)
    }

    /// NIO's way of ending a loop; `stop` is ours.
    func shutdownGracefully(queue: DispatchQueue, _ callback: @escaping @Sendable ((any Error)?) -> Void) {
        stop { queue.async { callback(nil) } }
    }
}
