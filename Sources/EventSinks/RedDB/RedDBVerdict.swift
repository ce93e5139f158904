import Foundation
import Orchestrator

/// What an answer to an append means for the event.
enum RedDBVerdict: Equatable {
    case taken
    /// This event, and no other: it would be refused again.
    case refused(SinkRefusal.Reason)
    /// The server, and not this event: who asks, what is asked, or the moment.
    case unavailable
    /// The server failed, and does not say whether at this event or at all.
    case failed

    init(status: UInt, body: [UInt8]) {
        switch status {
        case 200..<300: self = .taken
        // A proxy answers 400, too, to what never reached RedDB, and then without its JSON.
        case 400, 422: self = Self.hasDetail(body) ? .refused(.invalid) : .unavailable
        case 409: self = .refused(.duplicate)
        case 413: self = .refused(.tooLarge)
        // RedDB's own word for anything that went wrong; the other 5xx are those of a proxy, or of a server that starts.
        case 500: self = .failed
        default: self = .unavailable
        }
    }

    private static func hasDetail(_ body: [UInt8]) -> Bool {
        let object = try? JSONSerialization.jsonObject(with: Data(body)) as? [String: Any]
        return object?["detail"] != nil
    }
}

/// An answer that was no success, for people: one line, cut to what a log can bear.
struct RedDBError: Error, Equatable, CustomStringConvertible {
    var description: String
    /// nil without an answer.
    var status: UInt?

    init(_ description: String) { self.description = description }

    init(_ what: String, status: UInt, body: [UInt8]) {
        self.status = status
        let words = String(decoding: body.prefix(200), as: UTF8.self)
            .map { $0.isNewline || $0.isASCII && ($0.asciiValue ?? 32) < 32 ? " " : $0 }
        let hint =
            switch status {
            case 401, 403: "; is REDDB_TOKEN the server's?"
            case 404, 405: "; is REDDB_URL right?"
            default: ""
            }
        description = "reddb: \(what) was answered with \(status)\(words.isEmpty ? "" : ": ")\(String(words))\(hint)"
    }
}
