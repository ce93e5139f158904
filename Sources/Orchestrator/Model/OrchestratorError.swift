/// What a caller is told when a request can't be met. The kinds are those that the RPC and HTTP fronts can express; the
/// message is one line: what was wrong, with which value, and what to do next.
public struct OrchestratorError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Kind: Sendable, Equatable {
        /// `field` is the path of the offending field, as the caller wrote it.
        case invalidArgument(field: String)
        case notFound
        case alreadyExists
        case failedPrecondition
        /// The cursor is older than what is kept.
        case outOfRange(oldest: UInt64)
        case resourceExhausted(retryAfter: Duration)
        case unavailable
        case unimplemented
        case `internal`
    }

    public var kind: Kind
    public var message: String

    public init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    public var description: String { message }

    public static func invalidArgument(_ field: String, _ message: String) -> OrchestratorError {
        OrchestratorError(.invalidArgument(field: field), message)
    }
}
