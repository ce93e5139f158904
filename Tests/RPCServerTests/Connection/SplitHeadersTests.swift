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
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let eventLoop = group.next()
        let handled = try await eventLoop.submit { () throws -> (known: UInt64, unknown: UInt64) in
            let counters = CallCounters(methods: 1)
            let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
            let loop = LoopContext(eventLoop: eventLoop, calls: counters, logger: logger)
            let connection = try GRPCConnection(loop: loop, router: Router([Methods.echoNow]), limits: .defaults)
            defer { connection.closed() }
            var output = [UInt8](repeating: 0, count: 16_384)
            func feed(_ bytes: ArraySlice<UInt8>) throws {
                try bytes.withUnsafeBytes { try connection.received($0) }
                while try output.withUnsafeMutableBytes({ try connection.drain(into: $0) }) > 0 {}
            }
            try feed(RawConnection.preface[...])
            for stream in stride(from: UInt32(1), through: 19, by: 2) {
                let headers = RawConnection.Frame.headers(path: "/test.Echo/Now", stream: stream)
                for byte in headers.split(continuations: continuations).flatMap(\.bytes) { try feed([byte]) }
                let message = Wire.LogChunk.numbered(1).framed()
                try feed(RawConnection.Frame.data(message, stream: stream, ends: true).bytes[...])
            }
            return (counters.methods[0].handledTotal(.ok), counters.unknown.handledTotal(.unimplemented))
        }.get()
        #expect(handled == (10, 0))
        try await group.shutdownGracefully()
    }
}
