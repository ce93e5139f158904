import Glibc
import Logging
import NIOCore
import NIOPosix
import Protocol
import Testing

@testable import RPCServer

struct SocketOutputTests {
    /// Of one answer: more than the socket takes, less than what stops the server from writing.
    private static let size = 40_000

    @Test func `what a full socket leaves goes out before what comes after it`() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        var ends: [Int32] = [-1, -1]
        #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0, &ends) == 0)
        let (mine, peer) = (ends[0], ends[1])
        defer { close(peer) }
        var small: Int32 = 1
        setsockopt(mine, SOL_SOCKET, SO_SNDBUF, &small, socklen_t(MemoryLayout<Int32>.size))
        let (channel, first) = try await ClientBootstrap(group: group)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
                    let loop = LoopContext(
                        eventLoop: channel.eventLoop, calls: CallCounters(methods: 1), logger: logger)
                    let handler = try GRPCChannelHandler(
                        loop: loop, router: Router([Methods.echoNow]), limits: .defaults, writesToSocket: true)
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
            }
            .withConnectedSocket(mine)
            // Nothing of the channel's own comes between: all of this is one turn of its loop.
            .flatMapThrowing { channel in
                let pipeline = channel.pipeline.syncOperations
                pipeline.fireChannelRead(NIOAny(ByteBuffer(bytes: Self.hello + Self.request(stream: 1))))
                pipeline.fireChannelReadComplete()
                let first = Self.receive(peer)
                #expect(first.count < Self.size)
                // The socket has room again, and the channel has not learnt of it.
                pipeline.fireChannelRead(NIOAny(ByteBuffer(bytes: Self.request(stream: 3))))
                pipeline.fireChannelReadComplete()
                return (channel, first)
            }
            .get()
        var received = first
        try await eventually("both answers") {
            received += Self.receive(peer)
            return received.count > 2 * Self.size
        }
        let answer = Wire.LogChunk.sized(Self.size).framed()
        #expect(Self.data(received) == [1: answer, 3: answer])
        try await channel.close()
        try await group.shutdownGracefully()
    }

    /// The preface, a window of 1 MiB for each stream, and as much for the connection.
    private static let hello: [UInt8] =
        RawConnection.preface
        + RawConnection.Frame(type: 4, flags: 0, stream: 0, payload: [0, 4, 0, 0x10, 0, 0]).bytes
        + RawConnection.Frame(type: 8, flags: 0, stream: 0, payload: [0, 0x10, 0, 0]).bytes

    private static func request(stream: UInt32) -> [UInt8] {
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
