import Protocol
import Testing

@testable import RPCServer

struct ShutdownTests {
    @Test func `goodbye is said in two steps, and the connection ends when nothing is left`() async throws {
        try await withServer([Methods.echo]) { server in
            let client = try RawConnection(port: server.port)
            client.send(RawConnection.preface)
            client.send(RawConnection.Frame.headers(path: "/test.Echo/Async", stream: 1).bytes)
            client.send(RawConnection.Frame.data(Wire.LogChunk().framed(), stream: 1, ends: true).bytes)
            try client.pump("the answer") { client.frames.contains { $0.stream == 1 && $0.flags & 1 != 0 } }
            let begun = ContinuousClock.now
            let done = Task.detached { await server.shutDown(grace: .seconds(60)) }
            // GOAWAY first: the PING's answer then says that it has been read.
            try client.pump("the PING") { client.frames.contains { $0.type == 6 } }
            let ping = try #require(client.frames.last)
            #expect(client.frames.compactMap(\.goAway) == [.init(lastStream: .max, code: 0)])
            client.send(RawConnection.Frame.pong(ping).bytes)
            try client.pump("the end") { client.isDisconnected }
            #expect(client.frames.last?.goAway == .init(lastStream: 1, code: 0))
            await done.value
            #expect(ContinuousClock.now - begun < .seconds(30))
        }
    }

    @Test func `a call in flight is finished, and one that crosses the goodbye too`() async throws {
        let started = Signal("the handler's start")
        let release = AsyncStream<Void>.makeStream()
        let method = RPCMethod.unary("/test.Slow/Call") { (request: Wire.LogChunk, _) in
            started.raise()
            for await _ in release.stream { break }
            return request
        }
        try await withServer([method, Methods.echo]) { server in
            let client = try HTTP2Client(port: server.port)
            let call = client.open("/test.Slow/Call", body: Wire.LogChunk.numbered(1).framed())
            try client.ping()
            try started.wait()
            let done = Task.detached { await server.shutDown(grace: .seconds(60)) }
            // libnghttp2's client opens no stream after the first GOAWAY, so one is opened before that is read.
            let crossing = client.open("/test.Echo/Async", body: Wire.LogChunk.numbered(2).framed())
            try client.pump("the final GOAWAY") { client.goAways.count == 2 }
            release.continuation.yield()
            try client.pump("both answers") { call.isClosed && crossing.isClosed }
            #expect(try call.chunks() == [.numbered(1)])
            #expect(try crossing.chunks() == [.numbered(2)])
            try client.pumpUntilDisconnected()
            await done.value
        }
    }

    @Test func `streams end with their source's status`() async throws {
        let source = QueueSource(atShutdown: Status(.unavailable, "resume after 17"))
        try await withServer([Methods.stream("/test.Stream/Pull", source)]) { server in
            let client = try HTTP2Client(port: server.port)
            let call = client.open("/test.Stream/Pull", body: Wire.LogChunk().framed())
            try client.ping()
            try await eventually("the first read") { source.reads > 0 }
            let done = Task.detached { await server.shutDown(grace: .seconds(60)) }
            try client.pumpUntilDisconnected()
            #expect(call.code == .unavailable)
            #expect(call.message == "resume after 17")
            await done.value
            // Late news finds nobody, and does no harm.
            server.wakeStreams()
            source.wake()
        }
        #expect(source.closes == 1)
        #expect(source.readsAfterClose == 0)
    }

    @Test func `what a stream has ready goes out before its end`() async throws {
        let source = QueueSource(atShutdown: Status(.unavailable, "resume after 999"))
        try await withServer([Methods.stream("/test.Stream/Pull", source)]) { server in
            let client = try HTTP2Client(port: server.port)
            let call = client.open("/test.Stream/Pull", body: Wire.LogChunk().framed())
            try client.ping()
            try await eventually("the first read") { source.reads > 0 }
            // Nobody has been told of them yet.
            source.add((0..<1_000).flatMap { Wire.LogChunk.numbered($0).framed() })
            let done = Task.detached { await server.shutDown(grace: .seconds(60)) }
            try client.pumpUntilDisconnected()
            #expect(try call.chunks() == (0..<1_000).map { .numbered($0) })
            #expect(call.message == "resume after 999")
            await done.value
        }
    }

    @Test func `a stream without an end ends between two messages`() async throws {
        let source = EndlessSource(message: Wire.LogChunk.sized(1_000).framed())
        let method = RPCMethod.serverStream("/test.Stream/Endless") { (_: Wire.LogChunk, _) in source }
        try await withServer([method]) { server in
            let client = try HTTP2Client(port: server.port, window: 1 << 20)
            let call = client.open("/test.Stream/Endless", body: Wire.LogChunk().framed())
            try client.pump("a megabyte") { call.received.count > 1 << 20 }
            let done = Task.detached { await server.shutDown(grace: .seconds(60)) }
            try client.pumpUntilDisconnected()
            #expect(call.code == .unavailable)
            #expect(call.received.count % Wire.LogChunk.sized(1_000).framed().count == 0)
            await done.value
        }
    }

    @Test func `a stream that its peer's window holds up is told at once`() async throws {
        let source = QueueSource(
            ready: Wire.LogChunk.sized(100_000).framed(), atShutdown: Status(.unavailable, "go on"))
        try await withServer([Methods.stream("/test.Stream/Pull", source)]) { server in
            let client = try HTTP2Client(port: server.port, window: 1_000, opensWindows: false)
            let call = client.open("/test.Stream/Pull", body: Wire.LogChunk().framed())
            try client.pump("what the window has room for") { call.received.count == 1_000 }
            let begun = ContinuousClock.now
            let done = Task.detached { await server.shutDown(grace: .seconds(600)) }
            try client.pumpUntilDisconnected()
            #expect(call.message == "go on")
            await done.value
            #expect(ContinuousClock.now - begun < .seconds(300))
        }
    }

    @Test func `a handler that streams learns of the end, and says its own`() async throws {
        let began = Signal("the handler's start")
        let method = RPCMethod.streaming("/test.Talk/Waits") {
            (_: RequestStream<Wire.LogChunk>, _: ResponseStream<Wire.LogChunk>, context) in
            began.raise()
            await context.drain.begun()
            throw Status(.unavailable, "told")
        }
        try await withServer([method]) { server in
            let client = try HTTP2Client(port: server.port)
            let call = client.open("/test.Talk/Waits", ends: false)
            try client.ping()
            try began.wait()
            let done = Task.detached { await server.shutDown(grace: .seconds(600)) }
            try client.pumpUntilDisconnected()
            #expect(call.message == "told")
            await done.value
        }
    }

    @Test func `requests may end at the goodbye, after those that have come`() async throws {
        let method = RPCMethod.streaming("/test.Talk/Counts") {
            (requests: RequestStream<Wire.LogChunk>, responses: ResponseStream<Wire.LogChunk>, context) in
            for try await request in requests.endingAtDrain() { try await responses.send(request) }
            throw Status(context.drain.hasBegun ? .unavailable : .ok, "the end")
        }
        try await withServer([method]) { server in
            let client = try HTTP2Client(port: server.port)
            let call = client.open("/test.Talk/Counts", ends: false)
            client.send(call, Wire.LogChunk.numbered(1).framed())
            try client.pump("the first answer") { (try? call.chunks().count) == 1 }
            let done = Task.detached { await server.shutDown(grace: .seconds(600)) }
            try client.pumpUntilDisconnected()
            #expect(try call.chunks() == [.numbered(1)])
            #expect(call.code == .unavailable)
            await done.value
        }
    }

    @Test func `whoever waits for the goodbye waits no longer than their task`() async {
        let drain = CallDrain()
        let task = Task { await drain.begun() }
        task.cancel()
        await task.value
        #expect(!drain.hasBegun)
        let waiting = Task { await drain.begun() }
        drain.begin()
        await waiting.value
        #expect(drain.hasBegun)
    }

    @Test func `what was sent before the goodbye arrives, however slowly it is read`() async throws {
        let response = Wire.LogChunk.sized(3 << 20)
        let started = Signal("the handler's start")
        let method = RPCMethod.unary("/test.Large/Get") { (_: Wire.LogChunk, _) in
            started.raise()
            return response
        }
        try await withServer([method]) { server in
            let client = try HTTP2Client(port: server.port, window: 1 << 30)
            client.socket.shrinkReceiveBuffer()
            let call = client.open("/test.Large/Get", body: Wire.LogChunk().framed())
            try client.ping()
            try started.wait()
            let done = Task.detached { await server.shutDown(grace: .seconds(60)) }
            try client.pumpUntilDisconnected()
            #expect(call.code == .ok)
            #expect(try call.chunks() == [response])
            await done.value
        }
    }

    @Test func `new connections are refused`() async throws {
        // An address of its own: on the other one, the next test's server may be given this one's port.
        let host = "127.0.0.2"
        try await withServer([Methods.echo], host: host) { server in
            _ = try Socket(host: host, port: server.port)
            await server.shutDown(grace: .zero)
            #expect(throws: Socket.Failure.self) { try Socket(host: host, port: server.port) }
        }
    }

    @Test func `what is left after the grace is cut off and cancelled`() async throws {
        let started = Signal("the handler's start")
        let cancelled = Signal("the handler's cancellation")
        let source = QueueSource()
        let methods = [
            Methods.waiting("/test.Wait/Call", started: started, cancelled: cancelled),
            Methods.stream("/test.Stream/Pull", source),
        ]
        try await withServer(methods) { server in
            let client = try HTTP2Client(port: server.port)
            _ = client.open("/test.Wait/Call", body: Wire.LogChunk().framed())
            _ = client.open("/test.Stream/Pull", body: Wire.LogChunk().framed())
            try client.ping()
            try started.wait()
            try await eventually("the first read") { source.reads > 0 }
            await server.shutDown(grace: .zero)
            try cancelled.wait()
            try client.pumpUntilDisconnected()
        }
        #expect(source.closes == 1)
    }

    @Test func `a peer that leaves first is let go`() async throws {
        try await withServer([Methods.echo]) { server in
            let client = try HTTP2Client(port: server.port)
            #expect(try client.call("/test.Echo/Async").code == .ok)
            client.leave()
            try client.pumpUntilDisconnected()
            try await eventually("the connection to be forgotten") { await server.openConnections() == 0 }
        }
    }
}
