/// A limit that a peer ran into and kept its connection: a call was refused or ended, or reading stopped for a while.
public enum LimitReached: Int, Sendable, CaseIterable {
    /// `CallPolicy.maxOpenCalls`, of the whole server.
    case openCalls
    case concurrentStreams
    case headerBytes
    case requestBytes
    case bufferedBytes
    case unsentBytes
    case inputWhileStuck
    case requestTimeout

    /// The word of the `limit` label.
    public var label: String {
        switch self {
        case .openCalls: "open_calls"
        case .concurrentStreams: "concurrent_streams"
        case .headerBytes: "header_bytes"
        case .requestBytes: "request_bytes"
        case .bufferedBytes: "buffered_bytes"
        case .unsentBytes: "unsent_bytes"
        case .inputWhileStuck: "input_while_stuck"
        case .requestTimeout: "request_timeout"
        }
    }
}
