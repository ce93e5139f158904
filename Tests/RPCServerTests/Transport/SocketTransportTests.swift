import Glibc
import Logging
import NIOCore
import Protocol
import Testing

@testable import RPCServer

@Suite struct SocketTransportTests {
    /// Of one answer: more than the socket takes.
    private static let size = 40_000

    /// A connection on one end of a pair of sockets whose buffers are small. The other end is the test's.
    private static func connect(
        _ loop: SocketLoop, _ method: RPCMethod = Methods.echoNow, limits: ServerLimits = .defaults,
        ended: Signal? = nil
    ) async throws -> (NIOLoopBound<SocketTransport>, Int32) {
        var ends: [Int32] = [-1, -1]
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        try #require(socketpair(AF_UNIX, type, 0, &ends) == 0)
        let (mine, peer) = (ends[0], ends[1])
        var small: Int32 = 1
        setsockopt(mine, SOL_SOCKET, SO_SNDBUF, &small, socklen_t(MemoryLayout<Int32>.size))
        let transport = try await loop.submit {
            let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
            let context = LoopContext(eventLoop: loop, calls: CallCounters(methods: 1), logger: logger)
            let driver = try ConnectionDriver(loop: context, router: Router([method]), limits: limits)
            let transport = SocketTransport(loop, mine, driver: driver) { ended?.raise() }
            try transport.start(peer: Peer())
            return NIOLoopBound(transport, eventLoop: loop)
        }.get()
        return (transport, peer)
    }

    @Test func `what a full socket leaves goes out before what comes after it`() async throws {
        let loop = try SocketLoop(name: "test")
        let (_, peer) = try await Self.connect(loop)
        defer { close(peer) }
        Self.send(peer, Self.hello + Self.request(stream: 1))
        var received: [UInt8] = []
        try await eventually("a part of the first answer") {
            received += Self.receive(peer)
            return received.count > 1_000
        }
        Self.send(peer, Self.request(stream: 3))
        try await eventually("both answers") {
            received += Self.receive(peer)
            return received.count > 2 * Self.size
        }
        let answer = Wire.LogChunk.sized(Self.size).framed()
        #expect(Self.data(received) == [1: answer, 3: answer])
        await loop.stop()
    }

    @Test func `a peer that closes with output of ours unread ends the connection once`() async throws {
        let loop = try SocketLoop(name: "test")
        let ended = Signal("the connection's end")
        let (transport, peer) = try await Self.connect(loop, ended: ended)
        Self.send(peer, Self.hello + Self.request(stream: 1))
        try await eventually("output that the socket does not take") {
            (try? await loop.submit { transport.value.pendingBytes > 0 }.get()) ?? false
        }
        close(peer)
        try ended.wait()
        let (isOpen, pending) = try await loop.submit {
            // Harmless when done already.
            transport.value.close()
            return (transport.value.isOpen, transport.value.pendingBytes)
        }.get()
        #expect(!isOpen && pending == 0)
        await loop.stop()
    }

    @Test func `a reader that takes what comes is not stuck, though there is always more for it`() async throws {
        var limits = ServerLimits.defaults
        limits.maxInputWhileStuck = 32 * 1_024
        let source = EndlessSource(message: Wire.LogChunk.sized(1_000).framed())
        let method = RPCMethod.serverStream("/test.Echo/Now") { (_: Wire.LogChunk, _) in source }
        let loop = try SocketLoop(name: "test")
        let (_, peer) = try await Self.connect(loop, method, limits: limits)
        defer { close(peer) }
        // Windows that do not close.
        let settings = RawConnection.Frame(type: 4, flags: 0, stream: 0, payload: [0, 4, 0x7f, 255, 255, 255])
        let window = RawConnection.Frame(type: 8, flags: 0, stream: 0, payload: [0x7f, 0, 0, 0])
        Self.send(peer, Self.hello + settings.bytes + window.bytes + Self.request(stream: 1, size: 10))
        // More than a stuck peer may send, a little at a time, and all that comes is taken in between.
        let little = RawConnection.Frame(type: 8, flags: 0, stream: 0, payload: [0, 0, 0, 1]).bytes
        for _ in 0..<100 {
            Self.send(peer, Array(repeatElement(little, count: 64).joined()))
            var taken = 0
            try await eventually("more output") {
                taken += Self.receive(peer).count
                return taken > 100_000
            }
        }
        // It still reads: this is answered.
        Self.send(peer, RawConnection.Frame(type: 6, flags: 0, stream: 0, payload: Array("answer!!".utf8)).bytes)
        let answer = RawConnection.Frame(type: 6, flags: 1, stream: 0, payload: Array("answer!!".utf8)).bytes
        var newest: [UInt8] = []
        try await eventually("the answer to a PING") {
            newest = newest.suffix(answer.count) + Self.receive(peer)
            return newest.firstRange(of: answer) != nil
        }
        await loop.stop()
    }

    private static func send(_ descriptor: Int32, _ bytes: [UInt8]) {
        #expect(write(descriptor, bytes, bytes.count) == bytes.count)
    }

    /// The preface, a window of 1 MiB for each stream, and as much for the connection.
    private static let hello: [UInt8] =
        RawConnection.preface
        + RawConnection.Frame(type: 4, flags: 0, stream: 0, payload: [0, 4, 0, 0x10, 0, 0]).bytes
        + RawConnection.Frame(type: 8, flags: 0, stream: 0, payload: [0, 0x10, 0, 0]).bytes

    private static func request(stream: UInt32, size: Int = size) -> [UInt8] {
        let message = Wire.LogChunk.sized(size).framed()
        var bytes = RawConnection.Frame.headers(path: "/test.Echo/Now", stream: stream).bytes
        for start in Swift.stride(from: 0, to: message.count, by: 10_000) {
            let end = min(start + 10_000, message.count)
            bytes +=
                RawConnection.Frame.data(Array(message[start..<end]), stream: stream, ends: end == message.count)
                .bytes
        }
        return bytes
    }

    /// What is there.
    private static func receive(_ descriptor: Int32) -> [UInt8] {
        var received: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4_096)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            guard count > 0 else { return received }
            received += buffer[..<count]
        }
    }

    /// What is in DATA frames, by stream.
    private static func data(_ bytes: [UInt8]) -> [UInt32: [UInt8]] {
        var found: [UInt32: [UInt8]] = [:]
        var place = 0
        while place + 9 <= bytes.count {
            let end = place + 9 + bytes[place..<(place + 3)].reduce(0) { $0 << 8 | Int($1) }
            let stream = bytes[(place + 5)..<(place + 9)].reduce(0) { $0 << 8 | UInt32($1) }
            if bytes[place + 3] == 0, end <= bytes.count { found[stream, default: []] += bytes[(place + 9)..<end] }
            place = end
        }
        return found
    }
}
