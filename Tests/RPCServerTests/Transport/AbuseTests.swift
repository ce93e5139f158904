import Protocol
import Testing

@testable import RPCServer

/// What a peer can do to the server that no honest one does. A second, healthy connection is answered each time.
struct AbuseTests {
    private static let calm: UInt32 = 0xB

    private func expectHealthy(_ server: RPCServer) throws {
        #expect(try HTTP2Client(port: server.port).call("/test.Echo/Async").code == .ok)
    }

    @Test(arguments: [UInt8(0), 8])
    func `a hundred thousand rapid resets are answered with ENHANCE_YOUR_CALM`(code: UInt8) async throws {
        try await withServer([Methods.echo]) { server in
            let attacker = try RawConnection(port: server.port)
            attacker.send(RawConnection.preface)
            var bytes: [UInt8] = []
            for index in UInt32(0)..<100_000 {
                bytes += RawConnection.Frame.headers(path: "/test.Echo/Async", stream: 2 * index + 1).bytes
                bytes += RawConnection.Frame.reset(2 * index + 1, code: code).bytes
            }
            attacker.send(bytes)
            try attacker.pump("the GOAWAY") { attacker.frames.contains { $0.type == 7 } }
            #expect(attacker.frames.compactMap(\.goAway?.code) == [Self.calm])
            try expectHealthy(server)
            try attacker.pump("the connection's end") { attacker.isDisconnected }
            #expect(await server.openCalls() == 0)
        }
    }

    @Test func `resets that the peer provokes count like its own`() async throws {
        try await withServer([Methods.echo]) { server in
            let attacker = try RawConnection(port: server.port)
            attacker.send(RawConnection.preface)
            for index in UInt32(0)..<20_000 {
                let stream = 2 * index + 1
                attacker.send(RawConnection.Frame.headers(path: "/test.Echo/Async", stream: stream).bytes)
                // A window of more than 2^31-1 is a stream error (RFC 9113 §6.9.1).
                attacker.send(
                    RawConnection.Frame(type: 8, flags: 0, stream: stream, payload: [0x7F, 0xFF, 0xFF, 0xFF]).bytes)
            }
            try attacker.pump("the GOAWAY") { attacker.frames.contains { $0.type == 7 } }
            #expect(attacker.frames.last?.goAway?.code == Self.calm)
            try expectHealthy(server)
        }
    }

    @Test func `a burst of honest cancellations is taken`() async throws {
        try await withServer([Methods.echo]) { server in
            let client = try HTTP2Client(port: server.port)
            for _ in 0..<9 {
                let calls = (0..<100).map { _ in client.open("/test.Echo/Async", ends: false) }
                try client.ping()
                for call in calls { client.reset(call) }
                try client.ping()
            }
            #expect(client.goAways.isEmpty)
            #expect(await server.openCalls() == 0)
            #expect(try client.call("/test.Echo/Async").code == .ok)
        }
    }

    @Test func `a flood of PINGs whose answers nobody reads ends the connection`() async throws {
        try await withServer([Methods.echo]) { server in
            let attacker = try RawConnection(port: server.port)
            attacker.socket.shrinkReceiveBuffer()
            attacker.send(RawConnection.preface)
            let ping = RawConnection.Frame(type: 6, flags: 0, stream: 0, payload: Array(repeating: 1, count: 8)).bytes
            attacker.send(Array(repeating: ping, count: 1_000_000).flatMap { $0 })
            try attacker.sendAll()
            try await eventually("the connection to be forgotten") { await server.openConnections() == 0 }
            try expectHealthy(server)
            withExtendedLifetime(attacker) {}
        }
    }

    @Test(arguments: [
        Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8), Array(repeating: 0xFF, count: 1000),
        RawConnection.preface + [0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0],
        RawConnection.preface + RawConnection.Frame(type: 1, flags: 4, stream: 1, payload: [0xFF, 0xFF]).bytes,
        RawConnection.preface + RawConnection.Frame(type: 0, flags: 1, stream: 1, payload: [1]).bytes,
    ])
    func `bytes that are not HTTP/2 end their connection only`(bytes: [UInt8]) async throws {
        try await withServer([Methods.echo]) { server in
            let attacker = try RawConnection(port: server.port)
            attacker.send(bytes)
            try attacker.pump("the connection's end") { attacker.isDisconnected }
            try expectHealthy(server)
        }
    }

    @Test func `header blocks in many CONTINUATION frames are cut short`() async throws {
        try await withServer([Methods.echo]) { server in
            let attacker = try RawConnection(port: server.port)
            attacker.send(RawConnection.preface)
            var headers = RawConnection.Frame.headers(path: "/test.Echo/Async", stream: 1)
            headers.flags = 0
            attacker.send(headers.bytes)
            for _ in 0..<10_000 {
                attacker.send(RawConnection.Frame(type: 9, flags: 0, stream: 1, payload: []).bytes)
            }
            try attacker.pump("the connection's end") { attacker.isDisconnected }
            try expectHealthy(server)
        }
    }
}
