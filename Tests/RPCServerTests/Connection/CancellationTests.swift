import Protocol
import Synchronization
import Testing

@testable import RPCServer

struct CancellationTests {
    @Test func `a deadline ends the call and cancels its handler`() async throws {
        let started = Signal("the handler's start")
        let cancelled = Signal("the handler's cancellation")
        try await withServer([Methods.waiting("/test.Wait/Call", started: started, cancelled: cancelled)]) { server in
            let client = try HTTP2Client(port: server.port)
            let call = try client.call("/test.Wait/Call", headers: [("grpc-timeout", "2S")])
            #expect(call.code == .deadlineExceeded)
            try started.wait()
            try cancelled.wait()
            #expect(await server.openCalls() == 0)
        }
    }

    @Test func `a deadline ends a call whose request never comes`() async throws {
        try await withServer([Methods.echo]) { server in
            let client = try HTTP2Client(port: server.port)
            let headersOnly = client.open("/test.Echo/Async", ends: false, headers: [("grpc-timeout", "30m")])
            let cut = client.open(
                "/test.Echo/Async", body: [0, 0, 0, 0, 9, 1], ends: false, headers: [("grpc-timeout", "30m")])
            try client.pump("the deadlines") { headersOnly.isClosed && cut.isClosed }
            #expect(headersOnly.code == .deadlineExceeded)
            #expect(cut.code == .deadlineExceeded)
            #expect(await server.openCalls() == 0)
        }
    }

    @Test func `a request that comes in parts is answered within its deadline`() async throws {
        try await withServer([Methods.echo, Methods.echoNow]) { server in
            let client = try HTTP2Client(port: server.port)
            for path in ["/test.Echo/Async", "/test.Echo/Now"] {
                let call = client.open(path, ends: false, headers: [("grpc-timeout", "1H")])
                try client.ping()
                client.send(call, Wire.LogChunk.numbered(3).framed(), ends: true)
                try client.pump("the answer") { call.isClosed }
                #expect(try call.chunks() == [.numbered(3)])
            }
        }
    }

    @Test func `a deadline that has passed on arrival is told at once`() async throws {
        try await withServer([Methods.echo]) { server in
            let call = try HTTP2Client(port: server.port).call(
                "/test.Echo/Async", headers: [("grpc-timeout", "0S")])
            #expect(call.code == .deadlineExceeded)
        }
    }

    @Test func `the handler knows the deadline, the smaller of its caller's and the server's`() async throws {
        let deadlines = Mutex<[ContinuousClock.Instant?]>([])
        let method = RPCMethod.unary("/test.Deadline/Get") { (request: Wire.LogChunk, context) in
            deadlines.withLock { $0.append(context.deadline) }
            return request
        }
        var policy = CallPolicy()
        policy.longestUnaryCall = .seconds(200_000)
        try await withServer([method], policy: policy) { server in
            let client = try HTTP2Client(port: server.port)
            _ = try client.call("/test.Deadline/Get")
            _ = try client.call("/test.Deadline/Get", headers: [("grpc-timeout", "1M")])
            _ = try client.call("/test.Deadline/Get", headers: [("grpc-timeout", "99999999H")])
        }
        let seen = deadlines.withLock { $0 }
        try #require(seen.count == 3)
        #expect(try #require(seen[0]) - .now > .seconds(86_400))
        let left = try #require(seen[1]) - .now
        #expect(left > .seconds(20) && left <= .seconds(60))
        let capped = try #require(seen[2]) - .now
        #expect(capped > .seconds(86_400) && capped <= .seconds(200_000))
    }

    @Test func `a reset by the client cancels the handler`() async throws {
        let started = Signal("the handler's start")
        let cancelled = Signal("the handler's cancellation")
        let method = Methods.waiting("/test.Wait/Call", started: started, cancelled: cancelled)
        try await withServer([method, Methods.echo]) { server in
            let client = try HTTP2Client(port: server.port)
            let call = client.open("/test.Wait/Call", body: Wire.LogChunk().framed())
            try client.ping()
            try started.wait()
            client.reset(call)
            try client.ping()
            try cancelled.wait()
            #expect(await server.openCalls() == 0)
            #expect(try client.call("/test.Echo/Async").code == .ok)
        }
    }

    @Test(arguments: [false, true])
    func `the connection's end cancels the handler`(byReset: Bool) async throws {
        let started = Signal("the handler's start")
        let cancelled = Signal("the handler's cancellation")
        try await withServer([Methods.waiting("/test.Wait/Call", started: started, cancelled: cancelled)]) { server in
            do {
                let client = try HTTP2Client(port: server.port)
                _ = client.open("/test.Wait/Call", body: Wire.LogChunk().framed())
                try client.ping()
                try started.wait()
                if byReset { client.socket.closeByReset() }
            }
            try cancelled.wait()
            try await eventually("the connection to be forgotten") { await server.openConnections() == 0 }
        }
    }

    @Test func `a handler that ignores its cancellation finds nobody to answer`() async throws {
        let started = Signal("the handler's start")
        let answered = Signal("the handler's answer")
        let method = RPCMethod.unary("/test.Wait/Stubborn") { (request: Wire.LogChunk, _) in
            started.raise()
            await untilCancelled()
            defer { answered.raise() }
            return request
        }
        try await withServer([method, Methods.echo]) { server in
            let client = try HTTP2Client(port: server.port)
            let call = client.open("/test.Wait/Stubborn", body: Wire.LogChunk.numbered(1).framed())
            try client.ping()
            try started.wait()
            client.reset(call)
            // Takes the slot that the reset left; the late answer must not be its.
            let next = client.open("/test.Echo/Async", ends: false)
            try client.ping()
            try answered.wait()
            client.send(next, Wire.LogChunk.numbered(2).framed(), ends: true)
            try client.pump("the next call's answer") { next.isClosed }
            #expect(try next.chunks() == [.numbered(2)])
        }
    }
}
