import Protocol
import Testing

@testable import RPCServer

/// Calls that are answered while the client still sends: RFC 9113 §8.1.
struct EarlyAnswerTests {
    @Test func `a call refused before its request ends is reset with NO_ERROR, trailers first`() async throws {
        try await withServer([Methods.echo]) { server in
            let client = try HTTP2Client(port: server.port)
            let call = client.open("/test.Echo/Nothing", body: [0, 0, 0, 0, 1], ends: false)
            try client.pump("the refusal") { call.isClosed }
            #expect(call.code == .unimplemented)
            #expect(call.resetWith == 0)
            #expect(try client.call("/test.Echo/Async").code == .ok)
        }
    }

    @Test func `a rejected HTTP request that goes on and on is reset with NO_ERROR, body first`() async throws {
        try await withServer([Methods.echo]) { server in
            let client = try HTTP2Client(port: server.port)
            let body = Array(repeating: UInt8(0), count: 500_000)
            let call = client.open("/", body: body, ends: false, contentType: "text/html")
            try client.pump("the refusal") { call.isClosed }
            #expect(!call.received.isEmpty)
            #expect(call.resetWith == 0)
        }
    }

    @Test func `a call whose request has ended is not reset`() async throws {
        try await withServer([Methods.echo]) { server in
            let client = try HTTP2Client(port: server.port)
            let call = try client.call("/test.Echo/Async")
            let refused = try client.call("/test.Echo/Nothing")
            try client.ping()
            #expect(call.resetWith == nil)
            #expect(refused.resetWith == nil)
        }
    }

    @Test func `a client that goes on sending after the refusal does not lose its connection's window`() async throws {
        try await withServer([Methods.echo]) { server in
            let client = try RawConnection(port: server.port)
            client.send(RawConnection.preface)
            // 30 streams of nearly 1 MiB each, sent whatever the server says: more than the connection's window of
            // 16 MiB holds unless each byte is given back.
            let frame = Array(repeating: UInt8(0), count: 16_384)
            var sent = 0
            for stream in stride(from: UInt32(1), to: 60, by: 2) {
                client.send(RawConnection.Frame.headers(path: "/test.Echo/Nothing", stream: stream).bytes)
                for _ in 0..<60 {
                    client.send(RawConnection.Frame.data(frame, stream: stream, ends: false).bytes)
                    sent += frame.count
                }
            }
            client.send(RawConnection.Frame.headers(path: "/test.Echo/Async", stream: 61).bytes)
            client.send(RawConnection.Frame.data(Wire.LogChunk().framed(), stream: 61, ends: true).bytes)
            try client.pump("the healthy call's end") {
                client.frames.contains { $0.stream == 61 && $0.type == 1 && $0.flags & 1 != 0 }
            }
            #expect(sent > 16 << 20)
            #expect(client.frames.allSatisfy { $0.type != 7 })
            // One each, and not one for each frame that came too late.
            #expect(client.frames.count { $0.type == 3 } == 30)
        }
    }

    @Test func `ten thousand refused calls with a body do not leave a slot behind`() async throws {
        try await withServer([Methods.echo]) { server in
            let client = try HTTP2Client(port: server.port)
            for _ in 0..<100 {
                let calls = (0..<100).map { _ in client.open("/test.Echo/Async", body: [9, 0, 0, 0, 1], ends: false) }
                try client.pump("a hundred refusals") { calls.allSatisfy(\.isClosed) }
                #expect(calls.allSatisfy { $0.code == .internal && $0.resetWith == 0 })
            }
            #expect(await server.openCalls() == 0)
            #expect(client.goAways.isEmpty)
        }
    }
}
