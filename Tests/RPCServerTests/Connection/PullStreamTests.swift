import Protocol
import Testing

@testable import RPCServer

struct PullStreamTests {
    private static let path = "/test.Stream/Pull"

    private static func numbered(_ range: Range<UInt64>) -> [UInt8] {
        let arena = Arena(limit: .max)
        return range.flatMap { Wire.LogChunk.numbered($0).framed(in: arena) }
    }

    @Test func `a hundred thousand messages arrive in order, and the source is asked only as there is room`()
        async throws
    {
        let bytes = Self.numbered(0..<100_000)
        let source = QueueSource(ready: bytes, end: .ok)
        try await withServer([Methods.stream(Self.path, source)]) { server in
            let client = try HTTP2Client(port: server.port, window: 20_000, opensWindows: false)
            let call = client.open(Self.path, body: Wire.LogChunk().framed())
            var consumed = 0
            while !call.isClosed {
                try client.pump("a window's worth") { call.received.count - consumed >= 10_000 || call.isClosed }
                try client.ping()
                // What the source gave lies at the client: nothing was read ahead.
                #expect(source.given == call.received.count)
                #expect(source.given - consumed <= 20_000)
                let reads = source.reads
                if call.received.count - consumed == 20_000 {
                    try client.ping()
                    #expect(source.reads == reads)
                }
                client.consume(call, call.received.count - consumed)
                consumed = call.received.count
            }
            #expect(call.code == .ok)
            #expect(call.received == bytes)
            #expect(try call.chunks().map(\.offset) == Array(0..<100_000))
            try source.closed.wait()
            #expect(await server.openCalls() == 0)
        }
        #expect(source.closes == 1)
        #expect(source.attaches == 1)
    }

    @Test func `a source that had nothing is asked again after wakeStreams`() async throws {
        let source = QueueSource()
        try await withServer([Methods.stream(Self.path, source)]) { server in
            let client = try HTTP2Client(port: server.port)
            let call = client.open(Self.path, body: Wire.LogChunk().framed())
            for round in UInt64(0)..<20 {
                try client.ping()
                source.add(Self.numbered(round..<(round + 1)))
                server.wakeStreams()
                try client.pump("message \(round)") { call.messages.count == Int(round) + 1 }
            }
            source.add(end: Status(.outOfRange, "the end"))
            server.wakeStreams()
            try client.pump("the end") { call.isClosed }
            #expect(call.code == .outOfRange)
            #expect(call.message == "the end")
            #expect(try call.chunks().map(\.offset) == Array(0..<20))
        }
        #expect(source.closes == 1)
    }

    @Test func `a source that had nothing is asked again after its own wake`() async throws {
        let source = QueueSource()
        try await withServer([Methods.stream(Self.path, source)]) { server in
            let client = try HTTP2Client(port: server.port)
            let call = client.open(Self.path, body: Wire.LogChunk().framed())
            try client.ping()
            try await eventually("the first read") { source.reads > 0 }
            source.add(Self.numbered(0..<3), end: .ok)
            source.wake()
            try client.pump("the end") { call.isClosed }
            #expect(try call.chunks().map(\.offset) == [0, 1, 2])
        }
    }

    @Test func `no news is lost however news and wakes race`() async throws {
        let source = QueueSource()
        try await withServer([Methods.stream(Self.path, source)], loops: 2) { server in
            let client = try HTTP2Client(port: server.port)
            let call = client.open(Self.path, body: Wire.LogChunk().framed())
            let producer = Task.detached {
                for number in UInt64(0)..<20_000 {
                    source.add(Self.numbered(number..<(number + 1)))
                    server.wakeStreams()
                }
                source.add(end: .ok)
                server.wakeStreams()
            }
            try client.pump("the end") { call.isClosed }
            await producer.value
            #expect(try call.chunks().map(\.offset) == Array(0..<20_000))
        }
    }

    @Test func `an empty stream is its status alone`() async throws {
        let source = QueueSource(end: .ok)
        try await withServer([Methods.stream(Self.path, source)]) { server in
            let call = try HTTP2Client(port: server.port).call(Self.path)
            #expect(call.code == .ok)
            #expect(call.received.isEmpty)
        }
        #expect(source.closes == 1)
    }

    @Test func `a handler that throws ends the stream with its status`() async throws {
        let method = RPCMethod.serverStream(Self.path) { (_: Wire.LogChunk, _) -> any PullSource in
            throw Status(.outOfRange, "the cursor is too old")
        }
        try await withServer([method]) { server in
            let call = try HTTP2Client(port: server.port).call(Self.path)
            #expect(call.code == .outOfRange)
        }
    }

    // MARK: The source's end

    @Test func `a reset closes the source, and a wake after it wakes nobody`() async throws {
        let source = QueueSource(ready: Self.numbered(0..<3))
        try await withServer([Methods.stream(Self.path, source), Methods.echo]) { server in
            let client = try HTTP2Client(port: server.port)
            let call = client.open(Self.path, body: Wire.LogChunk().framed())
            try client.pump("three messages") { call.messages.count == 3 }
            client.reset(call)
            try client.ping()
            try source.closed.wait()
            #expect(await server.openCalls() == 0)
            source.wake()
            server.wakeStreams()
            #expect(try client.call("/test.Echo/Async").code == .ok)
        }
        source.wake()
        #expect(source.closes == 1)
        #expect(source.readsAfterClose == 0)
    }

    @Test(arguments: [false, true])
    func `the connection's end closes the source, even in the middle of sending`(byReset: Bool) async throws {
        let source = QueueSource(ready: Array(repeating: 0, count: 5 * 1_000_000))
        try await withServer([Methods.stream(Self.path, source)]) { server in
            do {
                let client = try HTTP2Client(port: server.port, window: 1 << 30)
                let call = client.open(Self.path, body: Wire.LogChunk().framed())
                try client.pump("the first bytes") { !call.received.isEmpty }
                if byReset { client.socket.closeByReset() }
            }
            try source.closed.wait()
            try await eventually("the connection to be forgotten") { await server.openConnections() == 0 }
            source.wake()
            server.wakeStreams()
        }
        #expect(source.closes == 1)
        #expect(source.readsAfterClose == 0)
    }

    @Test func `a deadline ends a stream that waits, and closes its source`() async throws {
        let source = QueueSource(ready: Self.numbered(0..<1))
        try await withServer([Methods.stream(Self.path, source)]) { server in
            let client = try HTTP2Client(port: server.port)
            let call = try client.call(Self.path, headers: [("grpc-timeout", "2S")])
            #expect(call.code == .deadlineExceeded)
            #expect(try call.chunks() == [.numbered(0)])
        }
        #expect(source.closes == 1)
        #expect(source.readsAfterClose == 0)
    }

    @Test func `a deadline ends a stream whose client's window is closed`() async throws {
        let source = QueueSource(ready: Self.numbered(0..<1000))
        try await withServer([Methods.stream(Self.path, source)]) { server in
            let client = try HTTP2Client(port: server.port, window: 100, opensWindows: false)
            let call = client.open(
                Self.path, body: Wire.LogChunk().framed(), headers: [("grpc-timeout", "2S")])
            try source.closedWhilePumping(client)
            client.consume(call, call.received.count)
            try client.pump("the end") { call.isClosed }
            #expect(call.code == .deadlineExceeded)
        }
        #expect(source.closes == 1)
        #expect(source.readsAfterClose == 0)
    }

    @Test func `a source that comes after its stream has gone is closed`() async throws {
        let source = QueueSource()
        let started = Signal("the handler's start")
        let method = RPCMethod.serverStream(Self.path) { (_: Wire.LogChunk, _) in
            started.raise()
            await untilCancelled()
            return source
        }
        try await withServer([method]) { server in
            let client = try HTTP2Client(port: server.port)
            let call = client.open(Self.path, body: Wire.LogChunk().framed())
            try client.ping()
            try started.wait()
            client.reset(call)
            try client.ping()
            try source.closed.wait()
        }
        #expect(source.closes == 1)
        #expect(source.attaches == 0)
        #expect(source.reads == 0)
    }

    @Test func `a source that comes after its deadline is closed`() async throws {
        let source = QueueSource()
        let method = RPCMethod.serverStream(Self.path) { (_: Wire.LogChunk, _) in
            await untilCancelled()
            return source
        }
        try await withServer([method]) { server in
            let call = try HTTP2Client(port: server.port).call(Self.path, headers: [("grpc-timeout", "500m")])
            #expect(call.code == .deadlineExceeded)
            try source.closed.wait()
        }
        #expect(source.closes == 1)
    }

    @Test func `many streams share a connection`() async throws {
        let method = RPCMethod.serverStream(Self.path) { (request: Wire.LogChunk, _) in
            QueueSource(ready: Self.numbered(request.offset..<(request.offset + 500)), end: .ok)
        }
        try await withServer([method]) { server in
            let client = try HTTP2Client(port: server.port, window: 700)
            let calls = (0..<200).map { client.open(Self.path, body: Wire.LogChunk.numbered(UInt64($0)).framed()) }
            try client.pump("their ends") { calls.allSatisfy(\.isClosed) }
            for (index, call) in calls.enumerated() {
                #expect(try call.chunks().map(\.offset) == (0..<500).map { UInt64(index + $0) })
            }
        }
    }
}

extension QueueSource {
    /// Keeps the connection going until the source has been closed.
    fileprivate func closedWhilePumping(_ client: HTTP2Client) throws {
        let deadline = ContinuousClock.now + .seconds(180)
        while closes == 0, ContinuousClock.now < deadline { try client.ping() }
        #expect(closes == 1)
    }
}
