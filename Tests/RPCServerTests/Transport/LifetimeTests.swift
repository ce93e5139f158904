import Protocol
import Testing

@testable import RPCServer

/// How connections end because of time and policies, over a socket.
struct LifetimeTests {
    private static func limits(_ change: (inout ConnectionLifetime) -> Void) -> ServerLimits {
        var limits = ServerLimits.defaults
        change(&limits.lifetime)
        return limits
    }

    @Test func `a peer that sends no preface is let go of`() async throws {
        try await withServer([Methods.echo], limits: Self.limits { $0.firstSettingsTimeout = .milliseconds(50) }) {
            server in
            let quiet = try RawConnection(port: server.port)
            try quiet.pump("the connection's end") { quiet.isDisconnected }
            #expect(quiet.frames.compactMap(\.goAway?.code) == [0xB])
            #expect(server.connectionStatistics().ended[.firstSettingsTimeout] == 1)
        }
    }

    @Test func `an idle connection is told to go without blame`() async throws {
        try await withServer([Methods.echo], limits: Self.limits { $0.idleTimeout = .milliseconds(100) }) { server in
            let client = try HTTP2Client(port: server.port)
            #expect(try client.call("/test.Echo/Async").code == .ok)
            try client.pumpUntilDisconnected()
            #expect(client.goAways.first == HTTP2Client.GoAway(lastStream: .max, code: 0))
            #expect(server.connectionStatistics().ended[.idle] == 1)
        }
    }

    @Test func `a call that goes on past the connection's age has its grace and no more`() async throws {
        let cancelled = Signal("the handler's cancellation")
        let waiting = Methods.waiting("/test.Wait/Call", started: Signal("the handler"), cancelled: cancelled)
        let limits = Self.limits {
            $0.maxAge = .seconds(1)
            $0.grace = .seconds(1)
        }
        try await withServer([waiting], limits: limits) { server in
            let client = try HTTP2Client(port: server.port)
            _ = client.open("/test.Wait/Call", body: Wire.LogChunk().framed())
            try client.pumpUntilDisconnected()
            try cancelled.wait()
            #expect(client.goAways.first == HTTP2Client.GoAway(lastStream: .max, code: 0))
            let ended = server.connectionStatistics().ended
            #expect(ended[.maxAge] == 1)
            #expect(ended[.graceOver] == 1)
        }
    }

    @Test func `a pulled stream goes on past its connection's age, to its own end`() async throws {
        let source = QueueSource()
        let limits = Self.limits { $0.maxAge = .milliseconds(50) }
        try await withServer([Methods.stream("/test.Stream/Pull", source)], limits: limits) { server in
            let client = try HTTP2Client(port: server.port)
            let call = client.open("/test.Stream/Pull", body: Wire.LogChunk().framed())
            try client.pump("the goodbye") { client.goAways.count == 2 }
            #expect(!call.isClosed)
            source.add(Wire.LogChunk.numbered(1).framed(), end: .ok)
            source.wake()
            try client.pumpUntilDisconnected()
            #expect(call.code == .ok)
            #expect(try call.chunks() == [.numbered(1)])
        }
    }

    @Test func `a stream that goes on past the grace is told how to go on`() async throws {
        let source = QueueSource(atShutdown: Status(.unavailable, "resume after 17"))
        let limits = Self.limits {
            $0.maxAge = .milliseconds(500)
            $0.grace = .seconds(1)
        }
        try await withServer([Methods.stream("/test.Stream/Pull", source)], limits: limits) { server in
            let client = try HTTP2Client(port: server.port)
            let call = client.open("/test.Stream/Pull", body: Wire.LogChunk().framed())
            try client.pumpUntilDisconnected()
            #expect(call.message == "resume after 17")
        }
    }

    @Test func `a quiet peer is pinged and one that does not answer is closed`() async throws {
        let limits = Self.limits {
            $0.keepaliveInterval = .milliseconds(500)
            $0.keepaliveTimeout = .milliseconds(500)
        }
        try await withServer([Methods.echo], limits: limits) { server in
            let alive = try HTTP2Client(port: server.port)
            #expect(try alive.call("/test.Echo/Async").code == .ok)
            let dead = try RawConnection(port: server.port)
            dead.send(RawConnection.preface)
            try dead.pump("the connection's end") { dead.isDisconnected }
            #expect(dead.frames.contains { $0.type == 6 && $0.flags == 0 })
            #expect(server.connectionStatistics().ended[.keepaliveTimeout, default: 0] >= 1)
        }
    }

    @Test func `a client that answers pings stays`() async throws {
        let limits = Self.limits {
            $0.keepaliveInterval = .milliseconds(20)
            $0.keepaliveTimeout = .seconds(10)
        }
        try await withServer([Methods.echo], limits: limits) { server in
            let client = try RawConnection(port: server.port)
            client.send(RawConnection.preface)
            var answered = 0
            try client.pump("five pings") {
                let asked = client.frames.filter { $0.type == 6 && $0.flags == 0 }
                for ping in asked[answered...] { client.send(RawConnection.Frame.pong(ping).bytes) }
                answered = asked.count
                return answered >= 5
            }
            #expect(await server.openConnections() == 1)
        }
    }

    @Test func `too many pings end the connection by name`() async throws {
        try await withServer([Methods.echo], minimumPingInterval: .seconds(10)) { server in
            let attacker = try RawConnection(port: server.port)
            attacker.send(RawConnection.preface)
            let ping = RawConnection.Frame(type: 6, flags: 0, stream: 0, payload: Array(repeating: 1, count: 8)).bytes
            for _ in 0..<4 { attacker.send(ping) }
            try attacker.pump("the connection's end") { attacker.isDisconnected }
            let goAway = try #require(attacker.frames.first { $0.type == 7 })
            #expect(goAway.goAway?.code == 0xB)
            #expect(String(decoding: goAway.payload[8...], as: UTF8.self) == "too_many_pings")
            #expect(server.connectionStatistics().ended[.tooManyPings] == 1)
        }
    }

    @Test(arguments: [
        RawConnection.Frame.settings, RawConnection.Frame(type: 0xBE, flags: 0, stream: 0, payload: []),
        RawConnection.Frame(type: 2, flags: 0, stream: 1, payload: [0, 0, 0, 0, 1]),
        RawConnection.Frame(type: 8, flags: 0, stream: 0, payload: [0, 0, 0, 1]),
    ])
    fileprivate func `frames that move nothing are taken so long and no longer`(frame: RawConnection.Frame) async throws
    {
        try await withServer([Methods.echo]) { server in
            let attacker = try RawConnection(port: server.port)
            attacker.send(RawConnection.preface)
            attacker.send(Array(repeating: frame.bytes, count: 100_000).flatMap { $0 })
            try attacker.pump("the connection's end") { attacker.isDisconnected }
            #expect(attacker.frames.last?.goAway?.code == 0xB)
            // Answers to SETTINGS may be too many before the frames are.
            let ended = server.connectionStatistics().ended
            #expect(ended[.tooManyIdleFrames, default: 0] + ended[.flood, default: 0] == 1)
            #expect(try HTTP2Client(port: server.port).call("/test.Echo/Async").code == .ok)
        }
    }

    @Test(arguments: ["/test.Echo/Async", "/test.Stream/Pull"])
    func `a request that does not get on is ended and its connection goes on`(path: String) async throws {
        let stream = Methods.stream("/test.Stream/Pull", QueueSource())
        try await withServer([Methods.echo, stream], limits: Self.limits { $0.requestTimeout = .milliseconds(500) }) {
            server in
            let client = try HTTP2Client(port: server.port)
            let half = client.open(path, body: [0, 0, 0, 0, 9, 1], ends: false)
            let nothing = client.open(path, ends: false)
            try client.pump("the end of both") { half.isClosed && nothing.isClosed }
            #expect(half.code == .cancelled)
            #expect(nothing.code == .cancelled)
            #expect(try client.call("/test.Echo/Async").code == .ok)
        }
    }

    @Test func `answers that the peer has no room for are bounded`() async throws {
        var limits = ServerLimits.defaults
        limits.maxUnsentBytes = 100_000
        try await withServer([Methods.echo, Methods.echoNow], limits: limits) { server in
            let client = try HTTP2Client(port: server.port, window: 0)
            let body = Wire.LogChunk.sized(20_000).framed()
            for path in ["/test.Echo/Now", "/test.Echo/Async"] {
                var calls: [HTTP2Client.Call] = []
                for _ in 0..<10 {
                    let call = client.open(path, body: body)
                    try client.ping()
                    try client.pump("headers") { call.isClosed || !call.headers.isEmpty }
                    calls.append(call)
                }
                #expect(calls.contains { $0.code == .resourceExhausted }, "\(path)")
                for call in calls { client.reset(call) }
                try client.ping()
            }
            #expect(await server.openStreams() == 0)
            #expect(try HTTP2Client(port: server.port).call("/test.Echo/Async").code == .ok)
        }
    }

    @Test func `a frame that never ends is not waited for`() async throws {
        try await withServer([Methods.echo], limits: Self.limits { $0.frameTimeout = .milliseconds(50) }) { server in
            let attacker = try RawConnection(port: server.port)
            attacker.send(RawConnection.preface + RawConnection.Frame.headers(path: "/a", stream: 1).bytes.prefix(20))
            try attacker.pump("the connection's end") { attacker.isDisconnected }
            #expect(server.connectionStatistics().ended[.frameTimeout] == 1)
        }
    }

    @Test func `a peer that takes nothing is let go of`() async throws {
        let source = QueueSource(
            ready: Array(repeating: Wire.LogChunk.sized(1 << 20).framed(), count: 16).flatMap { $0 })
        let stream = Methods.stream("/test.Stream/Pull", source)
        try await withServer([stream, Methods.echo], limits: Self.limits { $0.writeTimeout = .milliseconds(100) }) {
            server in
            let attacker = try RawConnection(port: server.port)
            attacker.socket.shrinkReceiveBuffer()
            let window: [UInt8] = [0x3F, 0xFF, 0xFF, 0xFF]
            attacker.send(
                RawConnection.preface
                    + RawConnection.Frame(type: 4, flags: 0, stream: 0, payload: [0, 4] + window).bytes
                    + RawConnection.Frame(type: 8, flags: 0, stream: 0, payload: window).bytes
                    + RawConnection.Frame.headers(path: "/test.Stream/Pull", stream: 1).bytes
                    + RawConnection.Frame.data(Wire.LogChunk().framed(), stream: 1, ends: true).bytes)
            try attacker.sendAll()
            try source.closed.wait()
            #expect(server.connectionStatistics().ended[.writeTimeout] == 1)
            #expect(try HTTP2Client(port: server.port).call("/test.Echo/Async").code == .ok)
            withExtendedLifetime(attacker) {}
        }
    }

    @Test func `rapid resets are counted as such`() async throws {
        try await withServer([Methods.echo]) { server in
            let attacker = try RawConnection(port: server.port)
            attacker.send(RawConnection.preface)
            for stream in stride(from: UInt32(1), to: 10_000, by: 2) {
                attacker.send(RawConnection.Frame.headers(path: "/test.Echo/Async", stream: stream).bytes)
                attacker.send(RawConnection.Frame.reset(stream, code: 8).bytes)
            }
            try attacker.pump("the connection's end") { attacker.isDisconnected }
            #expect(server.connectionStatistics().ended[.tooManyResets] == 1)
        }
    }

    @Test func `connections beyond the most there may be are closed as they come`() async throws {
        var limits = ServerLimits.defaults
        limits.maxConnections = 2
        try await withServer([Methods.echo], limits: limits) { server in
            let first = try HTTP2Client(port: server.port)
            #expect(try first.call("/test.Echo/Async").code == .ok)
            var second: HTTP2Client? = try HTTP2Client(port: server.port)
            #expect(try second?.call("/test.Echo/Async").code == .ok)
            let third = try RawConnection(port: server.port)
            try third.pump("the connection's end") { third.isDisconnected }
            #expect(server.connectionStatistics().ended[.tooManyConnections] == 1)
            second = nil
            try await eventually("room") { server.connectionStatistics().open == 1 }
            #expect(try HTTP2Client(port: server.port).call("/test.Echo/Async").code == .ok)
            #expect(try first.call("/test.Echo/Async").code == .ok)
        }
    }
}
