import Logging
import Protocol
import Synchronization
import Testing

@testable import RPCServer

struct CallPolicyTests {
    /// Writes down what it sees, and refuses one path.
    private final class Recorder: CallInterceptor {
        let name: String
        let refused: String?
        let record: Record

        final class Record: Sendable {
            let lines = Mutex<[String]>([])
            func add(_ line: String) { lines.withLock { $0.append(line) } }
        }

        init(_ name: String, _ record: Record, refusing refused: String? = nil) {
            self.name = name
            self.record = record
            self.refused = refused
        }

        func began(_ head: borrowing CallHead, _ notes: inout CallNotes) -> CallVerdict {
            record.add("\(name) began \(head.header("x-word") ?? "-") \(notes.subject ?? "-")")
            notes.subject = name
            return head.method.path == refused ? .refuse(Status(.permissionDenied, "not this")) : .proceed
        }

        func ended(_ call: CallSummary) { record.add("\(name) ended \(call.code.label)") }
    }

    @Test func `interceptors run in their order, see the headers, and learn the end`() async throws {
        let record = Recorder.Record()
        var policy = CallPolicy()
        policy.interceptors = [
            Recorder("first", record), Recorder("second", record, refusing: "/test.Echo/Async"),
            Recorder("third", record),
        ]
        let subjects = Mutex<[String?]>([])
        let methods = [
            Methods.echo,
            RPCMethod.unary("/test.Echo/Open") { (request: Wire.LogChunk, context) in
                subjects.withLock { $0.append(context.notes.subject) }
                return request
            },
        ]
        try await withServer(methods, policy: policy) { server in
            let client = try HTTP2Client(port: server.port)
            let refused = try client.call("/test.Echo/Async", headers: [("x-word", "hello")])
            #expect(refused.code == .permissionDenied && refused.message == "not this")
            #expect(
                record.lines.withLock { $0 } == [
                    "first began hello -", "second began hello first", "first ended PermissionDenied",
                    "second ended PermissionDenied",
                ])
            record.lines.withLock { $0 = [] }
            #expect(try client.call("/test.Echo/Open").code == .ok)
            try client.ping()
            #expect(subjects.withLock { $0 } == ["third"])
            #expect(
                record.lines.withLock { $0 } == [
                    "first began - -", "second began - first", "third began - second", "first ended OK",
                    "second ended OK", "third ended OK",
                ])
        }
    }

    @Test func `calls over the limit are refused with when to come back, and a place that is free again is given`()
        async throws
    {
        var policy = CallPolicy()
        policy.maxOpenCalls = 2
        let source = QueueSource()
        try await withServer([Methods.stream("/test.Stream/Waits", source), Methods.echoNow], policy: policy) {
            server in
            let client = try HTTP2Client(port: server.port)
            let open = (0..<2).map { _ in client.open("/test.Stream/Waits", body: Wire.LogChunk().framed()) }
            try client.ping()
            let refused = try client.call("/test.Echo/Now")
            #expect(refused.code == .resourceExhausted)
            #expect(refused.details != nil)
            client.reset(open[0])
            try client.ping()
            #expect(try client.call("/test.Echo/Now").code == .ok)
        }
    }

    @Test func `a unary call ends at the server's cap, whatever its caller would wait`() async throws {
        var policy = CallPolicy()
        policy.longestUnaryCall = .milliseconds(500)
        let (started, cancelled) = (Signal("started"), Signal("cancelled"))
        let method = Methods.waiting("/test.Wait/Call", started: started, cancelled: cancelled)
        try await withServer([method], policy: policy) { server in
            let client = try HTTP2Client(port: server.port)
            let call = try client.call("/test.Wait/Call", headers: [("grpc-timeout", "1H")])
            #expect(call.code == .deadlineExceeded)
            try cancelled.wait()
        }
    }

    @Test func `a caller's request id may not forge the log`() {
        #expect(AccessLog.acceptable("abc-123") == "abc-123")
        #expect(AccessLog.acceptable("abc\nlevel=error") == nil)
        #expect(AccessLog.acceptable(String(repeating: "x", count: 129)) == nil)
    }
}
