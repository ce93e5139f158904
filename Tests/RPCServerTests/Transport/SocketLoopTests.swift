import Glibc
import NIOCore
import Synchronization
import Testing

@testable import RPCServer

@Suite struct SocketLoopTests {
    private final class Watcher: SocketWatcher {
        let told: Signal
        private(set) var reads: [Bool] = []
        private(set) var writes = 0

        init(_ told: Signal) { self.told = told }

        /// With whether it was the last.
        func readable(isLast: Bool) {
            reads.append(isLast)
            told.raise()
        }

        func writable() { writes += 1 }
    }

    /// A watcher of one end of a pair of sockets.
    private static func watch(_ loop: SocketLoop, _ descriptor: Int32, _ told: Signal) async throws -> (
        SocketLoop.Watch, NIOLoopBound<Watcher>
    ) {
        try await loop.submit {
            let watcher = Watcher(told)
            return (try loop.watch(descriptor, watcher), NIOLoopBound(watcher, eventLoop: loop))
        }.get()
    }

    private static func sockets() throws -> (Int32, Int32) {
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0, &ends) == 0)
        return (ends[0], ends[1])
    }

    @Test func `what other threads hand in runs on the loop, in their order`() async throws {
        let loop = try SocketLoop(name: "test")
        let seen = Mutex<[Int]>([])
        #expect(!loop.inEventLoop)
        for number in 0..<1_000 {
            loop.execute {
                loop.preconditionInEventLoop()
                seen.withLock { $0.append(number) }
                // What a task hands in comes after what is there, and before the loop sleeps.
                if number == 999 { loop.execute { seen.withLock { $0.append(1_000) } } }
            }
        }
        try await eventually("all of them") { seen.withLock { $0.count } == 1_001 }
        #expect(seen.withLock { $0 } == Array(0...1_000))
        await loop.stop()
    }

    @Test func `a timer rings at its time, a cancelled one never`() async throws {
        let loop = try SocketLoop(name: "test")
        let start = NIODeadline.now()
        // Nothing rings before it is cancelled.
        let isCancelled = Signal("the cancel")
        loop.execute { try? isCancelled.wait() }
        let cancelled = loop.scheduleTask(in: .milliseconds(10)) { Issue.record("it was cancelled") }
        cancelled.cancel()
        isCancelled.raise()
        let rang = try await loop.scheduleTask(in: .milliseconds(25)) { NIODeadline.now() }.futureResult.get()
        #expect(rang - start >= .milliseconds(25))
        await #expect(throws: (any Error).self) { try await cancelled.futureResult.get() }
        await loop.stop()
    }

    @Test func `a socket is told once of what has come, again when it asks, and of the end`() async throws {
        let loop = try SocketLoop(name: "test")
        let (mine, peer) = try Self.sockets()
        defer { close(mine) }
        let told = Signal("the socket")
        let (watch, watcher) = try await Self.watch(loop, mine, told)
        try await eventually("room for output") { (try? await loop.submit { watcher.value.writes }.get()) ?? 0 > 0 }
        _ = write(peer, "x", 1)
        try told.wait()
        // Some turns of the loop, in which the byte is still there.
        let reads = try await loop.scheduleTask(in: .milliseconds(2)) { watcher.value.reads }.futureResult.get()
        #expect(reads == [false])
        try await loop.submit { loop.again(watch) }.get()
        try told.wait()
        close(peer)
        try told.wait()
        #expect(try await loop.submit { watcher.value.reads }.get() == [false, false, true])
        await loop.stop()
    }

    @Test func `who asks again and again has one more turn, beside what comes meanwhile`() async throws {
        let loop = try SocketLoop(name: "test")
        let (mine, peer) = try Self.sockets()
        defer { for descriptor in [mine, peer] { close(descriptor) } }
        let told = Signal("the socket")
        let (watch, watcher) = try await Self.watch(loop, mine, told)
        try await loop.submit { for _ in 0..<100 { loop.again(watch) } }.get()
        try told.wait()
        let reads = try await loop.scheduleTask(in: .milliseconds(2)) { watcher.value.reads }.futureResult.get()
        #expect(reads == [false])
        await loop.stop()
    }

    @Test func `who has an old one's place hears nothing of it`() async throws {
        let loop = try SocketLoop(name: "test")
        let (mine, peer) = try Self.sockets()
        let (other, otherPeer) = try Self.sockets()
        defer { for descriptor in [mine, peer, other, otherPeer] { close(descriptor) } }
        let (old, _) = try await Self.watch(loop, mine, Signal("the first"))
        let quiet = try await loop.submit {
            // Asked for a turn, and gone before it came.
            loop.again(old)
            loop.unwatch(old)
            let quiet = Watcher(Signal("nothing"))
            _ = try loop.watch(other, quiet)
            return NIOLoopBound(quiet, eventLoop: loop)
        }.get()
        _ = write(peer, "y", 1)
        let heard = try await loop.scheduleTask(in: .milliseconds(2)) { quiet.value.reads }.futureResult.get()
        #expect(heard == [])
        await loop.stop()
    }

    @Test func `a timer of another thread that is cancelled at once on the loop does not ring`() async throws {
        let loop = try SocketLoop(name: "test")
        // Held up, so that it finds both at once.
        let go = Signal("both are handed in")
        loop.execute { try? go.wait() }
        let timer = loop.scheduleTask(in: .zero) { Issue.record("it was cancelled") }
        loop.execute { timer.cancel() }
        go.raise()
        try await loop.scheduleTask(in: .milliseconds(2)) {}.futureResult.get()
        await loop.stop()
    }

    @Test func `what follows from the last tasks is done before the end`() async throws {
        let loop = try SocketLoop(name: "test")
        let hops = Atomic<Int>(0)
        @Sendable func hop() {
            if hops.wrappingAdd(1, ordering: .relaxed).newValue < 20 { loop.execute(hop) }
        }
        loop.execute(hop)
        await loop.stop()
        #expect(hops.load(ordering: .relaxed) == 20)
    }

    @Test func `what is handed in before the stop still runs`() async throws {
        let loop = try SocketLoop(name: "test")
        let ran = Atomic<Int>(0)
        for _ in 0..<100 { loop.execute { ran.wrappingAdd(1, ordering: .relaxed) } }
        await loop.stop()
        #expect(ran.load(ordering: .relaxed) == 100)
        // Nobody is there any more; that is no crash.
        loop.execute { ran.wrappingAdd(1, ordering: .relaxed) }
    }
}
