import Protocol
import Testing

@testable import RPCServer

struct FlowControlTests {
    @Test func `a request of 3 MiB passes the windows`() async throws {
        try await withServer([Methods.echo]) { server in
            let client = try HTTP2Client(port: server.port)
            let request = Wire.LogChunk.sized(3 << 20)
            let call = try client.call("/test.Echo/Async", request)
            #expect(call.code == .ok)
            #expect(try call.chunks() == [request])
        }
    }

    @Test func `a request in frames of one byte is put together`() async throws {
        try await withServer([Methods.echo]) { server in
            let client = try HTTP2Client(port: server.port)
            let request = Wire.LogChunk.sized(2000)
            let call = client.open("/test.Echo/Async", body: request.framed(), frameSize: 1)
            try client.pump("the answer") { call.isClosed }
            #expect(try call.chunks() == [request])
        }
    }

    @Test func `a response of 3 MiB passes a window of 64 KiB`() async throws {
        try await withServer([Methods.echo, Methods.echoNow]) { server in
            let client = try HTTP2Client(port: server.port, window: 65_535)
            let request = Wire.LogChunk.sized(3 << 20)
            for path in ["/test.Echo/Async", "/test.Echo/Now"] {
                let call = try client.call(path, request)
                #expect(call.code == .ok)
                #expect(try call.chunks() == [request])
            }
        }
    }

    @Test func `a response waits for the client's window and goes on with it`() async throws {
        try await withServer([Methods.echo]) { server in
            let client = try HTTP2Client(port: server.port, window: 1000, opensWindows: false)
            let request = Wire.LogChunk.sized(5000)
            let call = client.open("/test.Echo/Async", body: request.framed())
            var consumed = 0
            while !call.isClosed {
                try client.pump("a window's worth") { call.received.count > consumed || call.isClosed }
                try client.ping()
                #expect(call.received.count - consumed <= 1000)
                client.consume(call, call.received.count - consumed)
                consumed = call.received.count
            }
            #expect(try call.chunks() == [request])
        }
    }

    @Test func `many large responses share a connection whose peer reads slowly`() async throws {
        try await withServer([Methods.echo]) { server in
            let client = try HTTP2Client(port: server.port, window: 1 << 20)
            client.socket.shrinkReceiveBuffer()
            let request = Wire.LogChunk.sized(300_000)
            let calls = (0..<20).map { _ in client.open("/test.Echo/Async", body: request.framed()) }
            try client.pump("the answers") { calls.allSatisfy(\.isClosed) }
            for call in calls { #expect(try call.chunks() == [request]) }
        }
    }
}
