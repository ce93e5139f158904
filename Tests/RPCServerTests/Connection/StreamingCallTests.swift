import Protocol
import Synchronization
import Testing

@testable import RPCServer

struct StreamingCallTests {
    /// Answers each message with itself.
    private static let echo = RPCMethod.streaming("/test.Bidi/Echo") {
        (requests: RequestStream<Wire.LogChunk>, responses: ResponseStream<Wire.LogChunk>, _) in
        for try await request in requests { try await responses.send(request) }
    }

    /// Answers the sum of the offsets.
    private static let sum = RPCMethod.streaming("/test.Client/Sum", kind: .clientStream) {
        (requests: RequestStream<Wire.LogChunk>, responses: ResponseStream<Wire.LogChunk>, _) in
        var sum: UInt64 = 0
        for try await request in requests { sum += request.offset }
        try await responses.send(.numbered(sum))
    }

    @Test func `messages go both ways while both sides are open`() async throws {
        try await withServer([Self.echo]) { server in
            let client = try HTTP2Client(port: server.port)
            let call = client.open("/test.Bidi/Echo", body: Wire.LogChunk.numbered(0).framed(), ends: false)
            for number in UInt64(1)...20 {
                try client.pump("answer \(number)") { (try? call.chunks().count) == Int(number) }
                client.send(call, Wire.LogChunk.numbered(number).framed(), ends: number == 20)
            }
            try client.pump("the end") { call.isClosed }
            #expect(call.code == .ok)
            #expect(try call.chunks().map(\.offset) == Array(0...20))
        }
    }

    @Test func `a client's stream is answered once it has ended`() async throws {
        try await withServer([Self.sum]) { server in
            let client = try HTTP2Client(port: server.port)
            let body = (UInt64(1)...1000).flatMap { Wire.LogChunk.numbered($0).framed() }
            let call = client.open("/test.Client/Sum", body: body, frameSize: 777)
            try client.pump("the sum") { call.isClosed }
            #expect(call.code == .ok)
            #expect(try call.chunks().map(\.offset) == [500_500])
            let statistics = try #require(server.statistics().first)
            #expect(statistics.type == "client_stream")
            #expect(statistics.messagesReceived == 1000 && statistics.messagesSent == 1)
        }
    }

    @Test func `a handler that does not read holds its client up, and one that reads again lets it go on`() async throws
    {
        let (mayRead, permission) = AsyncStream.makeStream(of: Void.self)
        let method = RPCMethod.streaming("/test.Client/Late", kind: .clientStream) {
            (requests: RequestStream<Wire.LogChunk>, responses: ResponseStream<Wire.LogChunk>, _) in
            for await _ in mayRead { break }
            var count: UInt64 = 0
            for try await _ in requests { count += 1 }
            try await responses.send(.numbered(count))
        }
        var limits = ServerLimits.defaults
        limits.streamWindow = 65_536
        try await withServer([method], limits: limits) { server in
            let client = try HTTP2Client(port: server.port)
            let message = Wire.LogChunk.sized(1000).framed()
            let call = client.open(
                "/test.Client/Late", body: Array(repeatElement(message, count: 500).joined()), ends: true)
            // Two pings: what the windows let through has arrived.
            try client.ping()
            try client.ping()
            #expect(call.unsent > 0)
            permission.yield()
            try client.pump("the count") { call.isClosed }
            #expect(try call.chunks().map(\.offset) == [500])
        }
    }

    @Test func `a sender waits for a peer that does not read`() async throws {
        let sent = Mutex(0)
        let method = RPCMethod.streaming("/test.Server/Many", kind: .serverStream) {
            (requests: RequestStream<Wire.LogChunk>, responses: ResponseStream<Wire.LogChunk>, _) in
            for number in UInt64(0)..<2000 {
                var message = Wire.LogChunk.sized(1000)
                message.offset = number
                try await responses.send(message)
                sent.withLock { $0 += 1 }
            }
        }
        try await withServer([method]) { server in
            let client = try HTTP2Client(port: server.port, window: 1000, opensWindows: false)
            let call = client.open("/test.Server/Many", body: Wire.LogChunk().framed())
            try client.ping()
            try await eventually("the sender's pause") { sent.withLock { $0 } > 0 }
            try client.ping()
            try client.ping()
            // 64 KiB and a message, and not two megabytes.
            #expect(sent.withLock { $0 } < 100)
            client.reset(call)
            try client.ping()
        }
    }

    @Test func `a call that is reset ends its handler, wherever it waits`() async throws {
        let (reading, ended) = (Signal("reading"), Signal("ended"))
        let method = RPCMethod.streaming("/test.Bidi/Wait") {
            (requests: RequestStream<Wire.LogChunk>, responses: ResponseStream<Wire.LogChunk>, _) in
            defer { ended.raise() }
            reading.raise()
            for try await _ in requests {}
        }
        try await withServer([method]) { server in
            let client = try HTTP2Client(port: server.port)
            let call = client.open("/test.Bidi/Wait", body: Wire.LogChunk().framed(), ends: false)
            try client.ping()
            try reading.wait()
            client.reset(call)
            try client.ping()
            try ended.wait()
        }
    }

    @Test func `a message larger than the window passes`() async throws {
        var limits = ServerLimits.defaults
        limits.streamWindow = 65_536
        try await withServer([Self.echo], limits: limits) { server in
            let client = try HTTP2Client(port: server.port)
            let request = Wire.LogChunk.sized(3 << 20)
            let call = client.open("/test.Bidi/Echo", body: request.framed())
            try client.pump("the echo") { call.isClosed }
            #expect(try call.chunks() == [request])
        }
    }

    @Test func `metadata comes in and goes out, before and after the messages`() async throws {
        let method = RPCMethod.streaming("/test.Bidi/Metadata") {
            (requests: RequestStream<Wire.LogChunk>, responses: ResponseStream<Wire.LogChunk>, context) in
            var initial = Metadata()
            initial.add("x-given", context.metadata.text("x-asked") ?? "nothing")
            context.response.setInitial(initial)
            for try await request in requests { try await responses.send(request) }
            var trailing = Metadata()
            if case .binary(let bytes)? = context.metadata["x-raw-bin"].first {
                trailing.add("x-raw-bin", bytes: bytes)
            }
            context.response.setTrailing(trailing)
            throw Status(.dataLoss, "as asked")
        }
        try await withServer([method]) { server in
            let client = try HTTP2Client(port: server.port)
            let call = client.open(
                "/test.Bidi/Metadata", body: Wire.LogChunk().framed(),
                headers: [("x-asked", "a word"), ("x-raw-bin", "AAEC")])
            try client.pump("the end") { call.isClosed }
            #expect(call.headers["x-given"] == "a word")
            #expect(call.trailers["x-raw-bin"] == "AAEC")
            #expect(call.code == .dataLoss)
        }
    }

    @Test func `a response is compressed when its handler asks and the caller accepts`() async throws {
        let method = RPCMethod.unary("/test.Zip/Call") { (request: Wire.LogChunk, context) in
            context.response.compress()
            return request
        }
        try await withServer([method]) { server in
            let client = try HTTP2Client(port: server.port)
            let request = Wire.LogChunk(data: [UInt8](repeating: 9, count: 10_000))
            let plain = client.open("/test.Zip/Call", body: request.framed())
            let zipped = client.open(
                "/test.Zip/Call", body: MessageEncoding.gzip.frame(request.encoded(), compressed: true),
                headers: [("grpc-encoding", "gzip"), ("grpc-accept-encoding", "identity, gzip")])
            try client.pump("both") { plain.isClosed && zipped.isClosed }
            #expect(try plain.chunks() == [request])
            #expect(zipped.headers["grpc-encoding"] == "gzip")
            #expect(zipped.received.count < 200)
            var deframer = MessageDeframer(limit: 1 << 20, encoding: .gzip)
            zipped.received.withUnsafeBytes { deframer.append($0) }
            #expect(deframer.next() == .message(request.encoded()))
        }
    }

    @Test func `a handler can tell which messages came compressed`() async throws {
        let unary = RPCMethod.unary("/test.Zip/Unary") { (_: Wire.LogChunk, context) in
            Wire.LogChunk.numbered(context.wasRequestCompressed ? 1 : 0)
        }
        let stream = RPCMethod.streaming("/test.Zip/Stream") {
            (requests: RequestStream<Wire.LogChunk>, responses: ResponseStream<Wire.LogChunk>, _) in
            var requests = requests.makeAsyncIterator()
            while try await requests.next() != nil {
                try await responses.send(.numbered(requests.wasCompressed ? 1 : 0))
            }
        }
        try await withServer([unary, stream]) { server in
            let client = try HTTP2Client(port: server.port)
            let request = Wire.LogChunk.sized(100)
            let (plain, zipped) = (
                request.framed(), MessageEncoding.gzip.frame(request.encoded(), compressed: true)
            )
            let gzip = [("grpc-encoding", "gzip")]
            let calls = [
                client.open("/test.Zip/Unary", body: zipped, headers: gzip),
                client.open("/test.Zip/Unary", body: plain, headers: gzip),
                client.open("/test.Zip/Stream", body: zipped + plain + zipped, headers: gzip),
            ]
            try client.pump("all") { calls.allSatisfy(\.isClosed) }
            #expect(try calls.map { try $0.chunks().map(\.offset) } == [[1], [0], [1, 0, 1]])
        }
    }

    @Test func `compression asked for after the first message changes nothing, for the headers did not announce it`()
        async throws
    {
        let method = RPCMethod.streaming("/test.Zip/Late", kind: .serverStream) {
            (requests: RequestStream<Wire.LogChunk>, responses: ResponseStream<Wire.LogChunk>, context) in
            try await responses.send(.sized(1000))
            context.response.compress()
            try await responses.send(.sized(1000))
        }
        try await withServer([method]) { server in
            let client = try HTTP2Client(port: server.port)
            let call = client.open(
                "/test.Zip/Late", body: Wire.LogChunk().framed(), headers: [("grpc-accept-encoding", "gzip")])
            try client.pump("the end") { call.isClosed }
            #expect(call.headers["grpc-encoding"] == nil)
            #expect(try call.chunks() == [.sized(1000), .sized(1000)])
        }
    }
}
