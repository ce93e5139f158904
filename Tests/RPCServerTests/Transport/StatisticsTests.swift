import Protocol
import Testing

@testable import RPCServer

struct StatisticsTests {
    @Test func `every call is counted once, by method and by how it ended`() async throws {
        let source = QueueSource(end: Status(.outOfRange))
        let waiting = QueueSource()
        let methods = [
            Methods.echo, Methods.echoNow, Methods.failing("/test.Fail/Status", Status(.notFound)),
            Methods.stream("/test.Stream/Ends", source), Methods.stream("/test.Stream/Waits", waiting),
        ]
        try await withServer(methods, loops: 2) { server in
            let client = try HTTP2Client(port: server.port)
            for _ in 0..<3 { _ = try client.call("/test.Echo/Async") }
            for _ in 0..<4 { _ = try client.call("/test.Echo/Now") }
            for _ in 0..<2 { _ = try client.call("/test.Fail/Status") }
            _ = try client.call("/test.Stream/Ends")
            _ = try client.call("/test.Nothing/Here")
            _ = try client.call("/test.Echo/Now", headers: [("grpc-encoding", "snappy")])
            _ = try client.call("/test.Echo/Now", headers: [("grpc-timeout", "soon")])
            let refused = client.open("/test.Echo/Now", body: [9, 0, 0, 0, 0])
            try client.pump("the refusal") { refused.isClosed }
            let cancelled = client.open("/test.Stream/Waits", body: Wire.LogChunk().framed())
            try client.ping()
            try await eventually("the first read") { waiting.reads > 0 }
            client.reset(cancelled)
            try client.ping()

            let statistics = server.statistics()
            #expect(statistics.map(\.method) == ["Async", "Now", "Status", "Ends", "Waits", "other"])
            #expect(statistics.map(\.service).first == "test.Echo")
            #expect(statistics.map(\.type) == ["unary", "unary", "unary", "server_stream", "server_stream", "unary"])
            #expect(statistics.map(\.started) == [3, 7, 2, 1, 1, 1])
            let handled = statistics.map { $0.handled.filter { $0.value > 0 } }
            #expect(handled[0] == [.ok: 3])
            #expect(handled[1] == [.ok: 4, .unimplemented: 1, .invalidArgument: 1, .internal: 1])
            #expect(handled[2] == [.notFound: 2])
            #expect(handled[3] == [.outOfRange: 1])
            #expect(handled[4] == [.cancelled: 1])
            #expect(handled[5] == [.unimplemented: 1])
        }
    }

    @Test func `calls of every kind leave nothing behind`() async throws {
        let stream = RPCMethod.serverStream("/test.Stream/Pull") { (_: Wire.LogChunk, _) in
            QueueSource(ready: Wire.LogChunk.sized(100).framed(), end: .ok)
        }
        try await withServer([Methods.echo, Methods.echoNow, stream]) { server in
            let client = try HTTP2Client(port: server.port)
            let paths = ["/test.Echo/Async", "/test.Echo/Now", "/test.Stream/Pull", "/test.Nothing/Here"]
            for round in 0..<50 {
                let calls = (0..<100).map { index in
                    client.open(paths[index % 4], body: Wire.LogChunk.sized(round).framed(), frameSize: 7)
                }
                for call in calls.prefix(10) { client.reset(call) }
                try client.pump("their ends") { calls.allSatisfy(\.isClosed) }
            }
            try client.ping()
            #expect(await server.openCalls() == 0)
            #expect(await server.openStreams() == 0)
            #expect(server.statistics().allSatisfy { $0.started == $0.handled.values.reduce(0, +) })
        }
    }
}
