import Protocol
import Testing

@testable import RPCServer

struct UnaryCallTests {
    @Test func `a method answers at once from the event loop`() async throws {
        try await withServer([Methods.echoNow]) { server in
            let client = try HTTP2Client(port: server.port)
            let call = try client.call("/test.Echo/Now", Wire.LogChunk.numbered(7))
            #expect(call.headers[":status"] == "200")
            #expect(call.headers["content-type"] == "application/grpc")
            #expect(call.code == .ok)
            #expect(call.message == nil)
            #expect(try call.chunks() == [.numbered(7)])
        }
    }

    @Test func `a method answers from a task`() async throws {
        try await withServer([Methods.echo]) { server in
            let client = try HTTP2Client(port: server.port)
            let call = try client.call("/test.Echo/Async", Wire.LogChunk.numbered(7))
            #expect(call.code == .ok)
            #expect(try call.chunks() == [.numbered(7)])
        }
    }

    @Test func `a method that can't answer at once falls back on its task`() async throws {
        let method = RPCMethod.unary("/test.Echo/Later") { _, _ in
            .deferred
        } otherwise: { (request: Wire.LogChunk, _) in
            Wire.LogChunk(offset: request.offset + 1)
        }
        try await withServer([method]) { server in
            let call = try HTTP2Client(port: server.port).call("/test.Echo/Later", Wire.LogChunk.numbered(1))
            #expect(try call.chunks() == [.numbered(2)])
        }
    }

    @Test func `an immediate failure ends the call with its status`() async throws {
        let method = RPCMethod.unary("/test.Echo/No") { _, _ in
            .failed(Status(.notFound, "no such thing"))
        } otherwise: { (request: Wire.LogChunk, _) in
            request
        }
        try await withServer([method]) { server in
            let call = try HTTP2Client(port: server.port).call("/test.Echo/No")
            #expect(call.code == .notFound)
            #expect(call.message == "no such thing")
            #expect(call.received.isEmpty)
        }
    }

    @Test func `a thrown status arrives with its message escaped and its details in base64`() async throws {
        let status = Status(.failedPrecondition, "50% für 😀\n", details: [0xFB, 0xFF])
        try await withServer([Methods.failing("/test.Fail/Status", status)]) { server in
            let call = try HTTP2Client(port: server.port).call("/test.Fail/Status")
            #expect(call.code == .failedPrecondition)
            #expect(call.message == "50%25 f%C3%BCr %F0%9F%98%80%0A")
            #expect(call.details == "+/8")
        }
    }

    @Test func `a status too long for a header still arrives`() async throws {
        let status = Status.badRequest(field: "x", "e" + String(repeating: "\u{301}", count: 100_000))
        try await withServer([Methods.failing("/test.Fail/Long", status)]) { server in
            let call = try HTTP2Client(port: server.port).call("/test.Fail/Long")
            #expect(call.code == .invalidArgument)
        }
    }

    @Test func `an error that is not a status is INTERNAL and keeps its secrets`() async throws {
        struct Secret: Error { var password = "hunter2" }
        try await withServer([Methods.failing("/test.Fail/Secret", Secret())]) { server in
            let call = try HTTP2Client(port: server.port).call("/test.Fail/Secret")
            #expect(call.code == .internal)
            #expect(call.message?.contains("hunter2") == false)
            #expect(call.message?.contains("Secret") == false)
        }
    }

    @Test func `a request that is not its message is INVALID_ARGUMENT`() async throws {
        try await withServer([Methods.echo]) { server in
            let client = try HTTP2Client(port: server.port)
            let call = client.open("/test.Echo/Async", body: [0, 0, 0, 0, 1, 0xFF])
            try client.pump("the refusal") { call.isClosed }
            #expect(call.code == .invalidArgument)
        }
    }

    @Test func `a thousand calls run at once on one connection`() async throws {
        try await withServer([Methods.echo, Methods.echoNow]) { server in
            let client = try HTTP2Client(port: server.port)
            let calls = (0..<1000).map { index in
                client.open(
                    index % 2 == 0 ? "/test.Echo/Now" : "/test.Echo/Async",
                    body: Wire.LogChunk.numbered(UInt64(index)).framed())
            }
            try client.pump("a thousand answers") { calls.allSatisfy(\.isClosed) }
            for (index, call) in calls.enumerated() {
                #expect(call.code == .ok)
                #expect(try call.chunks() == [.numbered(UInt64(index))])
            }
        }
    }

    @Test func `calls wait for one another's place beyond the limit of streams`() async throws {
        var limits = ServerLimits.defaults
        limits.maxConcurrentStreams = 3
        try await withServer([Methods.echo], limits: limits) { server in
            let client = try HTTP2Client(port: server.port)
            try client.ping()
            let calls = (0..<50).map { _ in client.open("/test.Echo/Async", body: Wire.LogChunk().framed()) }
            try client.pump("fifty answers") { calls.allSatisfy(\.isClosed) }
            #expect(calls.allSatisfy { $0.code == .ok })
        }
    }

    @Test func `two hundred idle connections leave room for a healthy one`() async throws {
        try await withServer([Methods.echo], loops: 2) { server in
            let idle = try (0..<200).map { _ in try HTTP2Client(port: server.port) }
            for client in idle { try client.ping() }
            let call = try HTTP2Client(port: server.port).call("/test.Echo/Async")
            #expect(call.code == .ok)
            #expect(await server.openConnections() >= 200)
            withExtendedLifetime(idle) {}
        }
    }
}
