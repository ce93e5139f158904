import Logging
import Protocol

/// Names each call and writes a line when it is over: method, code, duration, peer, and who it was. No payloads and no
/// tokens. `traceparent` (W3C Trace Context) is taken from the caller, for the log and for handlers.
public struct AccessLog: CallInterceptor {
    private let logger: Logger

    public init(logger: Logger) { self.logger = logger }

    public func began(_ head: borrowing CallHead, _ notes: inout CallNotes) -> CallVerdict {
        notes.requestID = head.header("x-request-id").flatMap(Self.acceptable) ?? Self.makeID()
        notes.traceParent = head.header("traceparent").flatMap(Self.traceParent)
        return .proceed
    }

    public func ended(_ call: CallSummary) {
        var metadata: Logger.Metadata = [
            "path": "\(call.path)", "code": "\(call.code.label)", "peer": "\(call.peer.address)",
            "ms": "\(Self.milliseconds(call.duration))",
        ]
        if let id = call.notes.requestID { metadata["request_id"] = "\(id)" }
        if let trace = call.notes.traceParent { metadata["trace_id"] = "\(trace.split(separator: "-")[1])" }
        if let subject = call.notes.subject { metadata["subject"] = "\(subject)" }
        logger.info("call", metadata: metadata)
    }

    /// A caller's own id stands in our log, so it may not forge lines there.
    static func acceptable(_ id: String) -> String? {
        id.utf8.count <= 128 && !id.isEmpty && id.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) ? id : nil
    }

    /// `version-traceid-parentid-flags` in lower-case hex, of which ids of zeros are invalid (W3C Trace Context §3.2).
    static func traceParent(_ text: String) -> String? {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count >= 4, parts[0].utf8.count == 2, parts[0] != "ff", parts[1].utf8.count == 32,
            parts[2].utf8.count == 16, parts[3].utf8.count == 2, text.utf8.count <= 512
        else { return nil }
        let isHex = parts[0...3].allSatisfy { part in
            part.utf8.allSatisfy { ($0 >= 0x30 && $0 <= 0x39) || ($0 >= 0x61 && $0 <= 0x66) }
        }
        guard isHex, parts[1].contains(where: { $0 != "0" }), parts[2].contains(where: { $0 != "0" }) else {
            return nil
        }
        return text
    }

    /// With three digits behind the point.
    private static func milliseconds(_ duration: Duration) -> Double {
        (duration / .microseconds(1)).rounded() / 1_000
    }

    private static func makeID() -> String { String(UInt64.random(in: .min ... .max), radix: 16) }
}
