import Logging
import Protocol

/// Names each call and writes a line when it is over: method, code, duration, peer, and who it was. No payloads and no
/// tokens. `traceparent` (W3C Trace Context) is taken from the caller, for the log and for handlers.
public struct AccessLog: CallInterceptor {
    private let logger: Logger

    public init(logger: Logger) { self.logger = logger }

    public func began(_ head: borrowing CallHead, _ notes: inout CallNotes) -> CallVerdict {
        notes.requestID = head.header("x-request-id").flatMap(Self.acceptable) ?? Self.makeID()
        notes.traceParent = head.header("traceparent").flatMap(TraceParent.checked)
        return .proceed
    }

    public func ended(_ call: CallSummary) {
        var metadata: Logger.Metadata = [
            "path": "\(call.path)", "code": "\(call.code.label)", "peer": "\(call.peer.address)",
            "ms": "\(Self.milliseconds(call.duration))",
        ]
        if let id = call.notes.requestID { metadata["request_id"] = "\(id)" }
        if let trace = call.notes.traceParent { metadata["trace_id"] = "\(TraceParent.traceID(trace))" }
        if let subject = call.notes.subject { metadata["subject"] = "\(subject)" }
        logger.info("call", metadata: metadata)
    }

    /// A caller's own id stands in our log, so it may not forge lines there.
    static func acceptable(_ id: String) -> String? {
        id.utf8.count <= 128 && !id.isEmpty && id.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) ? id : nil
    }

    /// With three digits behind the point.
    private static func milliseconds(_ duration: Duration) -> Double {
        (duration / .microseconds(1)).rounded() / 1_000
    }

    private static func makeID() -> String { String(UInt64.random(in: .min ... .max), radix: 16) }
}
