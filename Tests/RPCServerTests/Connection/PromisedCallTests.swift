import Dispatch
import Protocol
import Synchronization
import Testing

@testable import RPCServer

struct PromisedCallTests {
    /// Keeps promises for the test to answer.
    private final class Desk: Sendable {
        typealias Promise = ResponsePromise<Wire.LogChunk>

        let come = Signal("a promised call")
        private let promises = Mutex<[Promise]>([])

        func add(_ promise: Promise) {
            promises.withLock { $0.append(promise) }
            come.raise()
        }

        func take() -> Promise? { promises.withLock { $0.popLast() } }

        var method: RPCMethod {
            .unary("/test.Promise/Call") { (_: Wire.LogChunk, _, promise: Promise) in self.add(promise) }
        }
    }

    @Test func `the answer comes from any thread`() async throws {
        let method = RPCMethod.unary("/test.Promise/Elsewhere") {
            (request: Wire.LogChunk, _, promise: ResponsePromise<Wire.LogChunk>) in
            DispatchQueue.global().async { promise.succeed { Wire.LogChunk(offset: request.offset + 1) } }
        }
        try await withServer([method]) { server in
            let client = try HTTP2Client(port: server.port)
            let calls = (0..<500).map {
                client.open("/test.Promise/Elsewhere", body: Wire.LogChunk.numbered($0).framed())
            }
            try client.pump("the answers") { calls.allSatisfy(\.isClosed) }
            for (index, call) in calls.enumerated() {
                #expect(call.code == .ok)
                #expect(try call.chunks() == [.numbered(UInt64(index) + 1)])
            }
            let statistics = try #require(server.statistics().first { $0.method == "Elsewhere" })
            #expect(statistics.handled[.ok] == 500 && statistics.messagesSent == 500)
        }
    }

    @Test func `an answer within the handler, a failure and a request that is no message`() async throws {
        let method = RPCMethod.unary("/test.Promise/AtOnce") {
            (request: Wire.LogChunk, _, promise: ResponsePromise<Wire.LogChunk>) in
            if request.offset == 0 { promise.fail(Status(.notFound, "no such thing")) }
            promise.succeed { request }
        }
        try await withServer([method]) { server in
            let client = try HTTP2Client(port: server.port)
            let answered = try client.call("/test.Promise/AtOnce", Wire.LogChunk.numbered(4))
            #expect(try answered.chunks() == [.numbered(4)])
            // The first answer counts.
            let failed = try client.call("/test.Promise/AtOnce", Wire.LogChunk.numbered(0))
            #expect(failed.code == .notFound && failed.message == "no such thing")
            let broken = client.open("/test.Promise/AtOnce", body: [0, 0, 0, 0, 1, 0xFF])
            try client.pump("the refusal") { broken.isClosed }
            #expect(broken.code == .invalidArgument)
        }
    }

    @Test func `a promise that is let go fails its call`() async throws {
        let method = RPCMethod.unary("/test.Promise/Forgotten") {
            (_: Wire.LogChunk, _, _: ResponsePromise<Wire.LogChunk>) in
        }
        try await withServer([method]) { server in
            let call = try HTTP2Client(port: server.port).call("/test.Promise/Forgotten")
            #expect(call.code == .internal)
        }
    }

    @Test func `an answer that comes after the call's end is nobody's`() async throws {
        let desk = Desk()
        try await withServer([desk.method, Methods.echo]) { server in
            let client = try HTTP2Client(port: server.port)
            let call = client.open("/test.Promise/Call", body: Wire.LogChunk().framed())
            try client.ping()
            try desk.come.wait()
            client.reset(call)
            // Takes the slot that the reset left.
            let next = client.open("/test.Echo/Async", ends: false)
            try client.ping()
            desk.take()?.succeed { Wire.LogChunk.numbered(1) }
            client.send(next, Wire.LogChunk.numbered(2).framed(), ends: true)
            try client.pump("the next call's answer") { next.isClosed }
            #expect(try next.chunks() == [.numbered(2)])
        }
    }

    @Test func `an answer that comes after the connection's end is nobody's`() async throws {
        let desk = Desk()
        try await withServer([desk.method, Methods.echo]) { server in
            do {
                let client = try HTTP2Client(port: server.port)
                _ = client.open("/test.Promise/Call", body: Wire.LogChunk().framed())
                try client.ping()
                try desk.come.wait()
            }
            try await eventually("the connection to be forgotten") { await server.openConnections() == 0 }
            desk.take()?.succeed { Wire.LogChunk.numbered(1) }
            let other = try HTTP2Client(port: server.port).call("/test.Echo/Async")
            #expect(other.code == .ok)
        }
    }

    /// The loop's alarm was set for the first of them, and has to ring earlier.
    @Test func `a deadline passes although one that came before is far away`() async throws {
        let desk = Desk()
        try await withServer([desk.method]) { server in
            let client = try HTTP2Client(port: server.port)
            let far = client.open(
                "/test.Promise/Call", body: Wire.LogChunk().framed(), headers: [("grpc-timeout", "1H")])
            try client.ping()
            let near = try client.call("/test.Promise/Call", headers: [("grpc-timeout", "100m")])
            #expect(near.code == .deadlineExceeded)
            #expect(!far.isClosed)
            // Those that come later are watched as well.
            let next = try client.call("/test.Promise/Call", headers: [("grpc-timeout", "100m")])
            #expect(next.code == .deadlineExceeded)
            #expect(!far.isClosed)
            #expect(await server.openCalls() == 1)
        }
    }

    @Test func `the server's cap holds for a call without a deadline`() async throws {
        let desk = Desk()
        var policy = CallPolicy()
        policy.longestUnaryCall = .milliseconds(100)
        try await withServer([desk.method], policy: policy) { server in
            let call = try HTTP2Client(port: server.port).call("/test.Promise/Call")
            #expect(call.code == .deadlineExceeded)
            #expect(await server.openCalls() == 0)
        }
    }

    @Test func `the handler knows the caller's trace, whoever looked for it`() async throws {
        let seen = Mutex<[String?]>([])
        let method = RPCMethod.unary("/test.Promise/Trace") {
            (request: Wire.LogChunk, notes, promise: ResponsePromise<Wire.LogChunk>) in
            seen.withLock { $0.append(notes.traceParent) }
            promise.succeed { request }
        }
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        try await withServer([method]) { server in
            let client = try HTTP2Client(port: server.port)
            _ = try client.call("/test.Promise/Trace", headers: [("traceparent", parent)])
            _ = try client.call("/test.Promise/Trace", headers: [("traceparent", "nonsense")])
            _ = try client.call("/test.Promise/Trace")
        }
        #expect(seen.withLock { $0 } == [parent, nil, nil])
    }
}
