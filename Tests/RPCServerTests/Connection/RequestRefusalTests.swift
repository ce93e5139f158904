import Protocol
import Testing

@testable import RPCServer

/// What the engine refuses before a handler sees it. Each time the connection stays of use.
struct RequestRefusalTests {
    private func refused(
        limits: ServerLimits = .defaults, _ open: @escaping @Sendable (HTTP2Client) -> HTTP2Client.Call,
        _ check: @escaping @Sendable (HTTP2Client.Call) throws -> Void
    ) async throws {
        try await withServer([Methods.echo], limits: limits) { server in
            let client = try HTTP2Client(port: server.port)
            let call = open(client)
            try client.pump("the refusal") { call.isClosed }
            try check(call)
            #expect(try client.call("/test.Echo/Async").code == .ok)
            #expect(await server.openCalls() == 0)
        }
    }

    @Test func `an unknown method is UNIMPLEMENTED and named`() async throws {
        try await refused {
            $0.open("/test.Echo/Nothing", body: Wire.LogChunk().framed())
        } _: { call in
            #expect(call.headers[":status"] == "200")
            #expect(call.code == .unimplemented)
            #expect(call.message?.contains("/test.Echo/Nothing") == true)
        }
    }

    @Test(arguments: ["application/json", "application/grpc-web", "application/grpc+json", "application/grpcx", nil])
    func `another content-type is HTTP 415 with a text for people`(contentType: String?) async throws {
        try await refused {
            $0.open("/test.Echo/Async", body: Wire.LogChunk().framed(), contentType: contentType)
        } _: { call in
            #expect(call.headers[":status"] == "415")
            #expect(call.headers["content-type"]?.hasPrefix("text/plain") == true)
            #expect(call.code == nil)
            #expect(String(decoding: call.received, as: UTF8.self).contains("gRPC"))
        }
    }

    @Test(arguments: ["application/grpc+proto", "application/grpc;charset=utf-8"])
    func `gRPC's content-types are all taken`(contentType: String) async throws {
        try await refused {
            $0.open("/test.Echo/Async", body: Wire.LogChunk().framed(), contentType: contentType)
        } _: { call in
            #expect(call.code == .ok)
        }
    }

    @Test func `GET is HTTP 415`() async throws {
        try await refused {
            $0.open("/test.Echo/Async", method: "GET")
        } _: { call in
            #expect(call.headers[":status"] == "415")
        }
    }

    @Test func `an unknown encoding is UNIMPLEMENTED and told what is accepted`() async throws {
        try await refused {
            $0.open("/test.Echo/Async", body: Wire.LogChunk().framed(), headers: [("grpc-encoding", "snappy")])
        } _: { call in
            #expect(call.code == .unimplemented)
            #expect(call.message?.contains("snappy") == true)
            #expect(call.headers["grpc-accept-encoding"] == "gzip,identity")
        }
    }

    @Test func `the identity encoding may be named`() async throws {
        try await refused {
            $0.open("/test.Echo/Async", body: Wire.LogChunk().framed(), headers: [("grpc-encoding", "identity")])
        } _: { call in
            #expect(call.code == .ok)
        }
    }

    @Test func `a compressed message without an encoding named is INTERNAL and told what is accepted`() async throws {
        try await refused {
            $0.open("/test.Echo/Async", body: [1, 0, 0, 0, 0])
        } _: { call in
            #expect(call.code == .internal)
            #expect(call.headers["grpc-accept-encoding"] == "gzip,identity")
        }
    }

    @Test func `a message over the limit is RESOURCE_EXHAUSTED`() async throws {
        var limits = ServerLimits.defaults
        limits.maxRequestBytes = 1000
        try await refused(limits: limits) {
            $0.open("/test.Echo/Async", body: Wire.LogChunk.sized(1000).framed())
        } _: { call in
            #expect(call.code == .resourceExhausted)
            #expect(call.message?.contains("1000") == true)
        }
    }

    @Test(arguments: [false, true])
    func `headers over the limit are RESOURCE_EXHAUSTED`(manySmall: Bool) async throws {
        let headers =
            manySmall
            ? (0..<600).map { ("x-\($0)", "") } : (0..<3).map { ("x-\($0)", String(repeating: "x", count: 8000)) }
        try await refused {
            $0.open("/test.Echo/Async", body: Wire.LogChunk().framed(), headers: headers)
        } _: { call in
            #expect(call.code == .resourceExhausted)
            #expect(call.message?.contains("16384") == true)
        }
    }

    @Test func `headers within the limit are taken`() async throws {
        try await refused {
            $0.open(
                "/test.Echo/Async", body: Wire.LogChunk().framed(),
                headers: [("x", String(repeating: "x", count: 15_000))])
        } _: { call in
            #expect(call.code == .ok)
        }
    }

    @Test(arguments: ["1x", "S", "123456789S", "-1S"])
    func `a deadline that can't be read is INVALID_ARGUMENT`(timeout: String) async throws {
        try await refused {
            $0.open("/test.Echo/Async", body: Wire.LogChunk().framed(), headers: [("grpc-timeout", timeout)])
        } _: { call in
            #expect(call.code == .invalidArgument)
            #expect(call.message?.contains(timeout) == true)
        }
    }

    @Test func `a request without a message is INTERNAL`() async throws {
        try await refused {
            $0.open("/test.Echo/Async")
        } _: {
            #expect($0.code == .internal)
        }
    }

    @Test func `a request with two messages is UNIMPLEMENTED`() async throws {
        try await refused {
            $0.open("/test.Echo/Async", body: Wire.LogChunk().framed() + Wire.LogChunk().framed())
        } _: {
            #expect($0.code == .unimplemented)
        }
    }

    @Test func `a request that is cut is INTERNAL`() async throws {
        try await refused {
            $0.open("/test.Echo/Async", body: Wire.LogChunk.sized(10).framed().dropLast())
        } _: {
            #expect($0.code == .internal)
        }
    }

    @Test func `requests that are never finished are bounded for the connection, and the bound recovers`() async throws
    {
        var limits = ServerLimits.defaults
        limits.maxBufferedBytes = 100_000
        try await withServer([Methods.echo], limits: limits) { server in
            let client = try HTTP2Client(port: server.port)
            let unfinished: [UInt8] = Wire.LogChunk.sized(90_000).framed().dropLast()
            let first = client.open("/test.Echo/Async", body: unfinished, ends: false)
            try client.ping()
            let second = client.open("/test.Echo/Async", body: unfinished, ends: false)
            try client.pump("the refusal") { second.isClosed }
            #expect(second.code == .resourceExhausted)
            #expect(second.details != nil)
            // The first can be finished, and then there is room again.
            client.send(first, [0], ends: true)
            try client.pump("the first answer") { first.isClosed }
            #expect(first.code == .ok)
            let third = client.open(
                "/test.Echo/Async", body: Wire.LogChunk.sized(90_000).framed(), frameSize: 1000)
            try client.pump("the third answer") { third.isClosed }
            #expect(third.code == .ok)
        }
    }
}
