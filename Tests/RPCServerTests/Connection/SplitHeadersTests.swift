import Logging
import NIOCore
import NIOPosix
import Protocol
import Testing

@testable import RPCServer

struct SplitHeadersTests {
    /// libnghttp2 decodes a header block as its bytes come, so what it has said of a block must outlive the read.
    /// And count a CONTINUATION once, in however many reads its frame's header comes (nghttp2/nghttp2#2817).
    @Test(arguments: [0, 1, 8])
    func `requests whose headers come byte by byte are understood`(continuations: Int) async throws {
        let handled = try await Self.handled { connect in
            let feed = try connect()
            for stream in stride(from: UInt32(1), through: 19, by: 2) {
                let headers = RawConnection.Frame.headers(path: "/test.Echo/Now", stream: stream)
                for byte in headers.split(continuations: continuations).flatMap(\.bytes) { try feed([byte]) }
                let message = Wire.LogChunk.numbered(1).framed()
                try feed(RawConnection.Frame.data(message, stream: stream, ends: true).bytes)
            }
        }
        #expect(handled == .init(known: 10, unknown: 0))
    }

    /// The connections of a thread lend each other the memory that headers are kept in.
    @Test func `header blocks of connections that take turns stay apart`() async throws {
        let handled = try await Self.handled { connect in
            let (one, other) = (try connect(), try connect())
            for stream in stride(from: UInt32(1), through: 19, by: 2) {
                let known = RawConnection.Frame.headers(path: "/test.Echo/Now", stream: stream).bytes
                let unknown = RawConnection.Frame.headers(path: "/test.Echo/Not", stream: stream).bytes
                for (first, second) in zip(known, unknown) {
                    try one([first])
                    try other([second])
                }
                let message = Wire.LogChunk.numbered(1).framed()
                try one(RawConnection.Frame.data(message, stream: stream, ends: true).bytes)
            }
        }
        #expect(handled == .init(known: 10, unknown: 10))
    }

    private struct Handled: Equatable {
        var known: UInt64
        var unknown: UInt64
    }

    /// - Parameter body: gets a function that makes a connection, which is a function that takes what its peer sends.
    private static func handled(
        _ body: @escaping @Sendable (_ connect: () throws -> (([UInt8]) throws -> Void)) throws -> Void
    ) async throws -> Handled {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let eventLoop = group.next()
        let handled = try await eventLoop.submit { () throws -> Handled in
            let counters = CallCounters(methods: 1)
            let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
            let loop = LoopContext(eventLoop: eventLoop, calls: counters, logger: logger)
            var connections: [GRPCConnection] = []
            defer { for connection in connections { connection.closed() } }
            try body {
                let connection = try GRPCConnection(loop: loop, router: Router([Methods.echoNow]), limits: .defaults)
                connections.append(connection)
                let feed = { (bytes: [UInt8]) in
                    try bytes.withUnsafeBytes { try connection.received($0) }
                    var output = [UInt8](repeating: 0, count: 16_384)
                    while try output.withUnsafeMutableBytes({ try connection.drain(into: $0) }) > 0 {}
                }
                try feed(RawConnection.preface)
                return feed
            }
            return Handled(
                known: counters.methods[0].handledTotal(.ok), unknown: counters.unknown.handledTotal(.unimplemented))
        }.get()
        try await group.shutdownGracefully()
        return handled
    }
}
