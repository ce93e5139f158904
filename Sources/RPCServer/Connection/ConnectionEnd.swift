/// Why the server ended a connection. The raw values are the words of the `reason` label.
public enum ConnectionEnd: String, Sendable, CaseIterable {
    case idle
    case maxAge = "max_age"
    /// Calls went on after the grace that an old or idle connection has.
    case graceOver = "grace_over"
    case keepaliveTimeout = "keepalive_timeout"
    case tooManyConnections = "too_many_connections"
    case firstSettingsTimeout = "first_settings_timeout"
    case frameTimeout = "frame_timeout"
    case writeTimeout = "write_timeout"
    case tooManyPings = "too_many_pings"
    case tooManyIdleFrames = "too_many_idle_frames"
    /// Streams that end before their answer.
    case tooManyResets = "too_many_resets"
    /// Answers to PING and SETTINGS that nobody takes.
    case flood
    /// Of one header block.
    case tooManyContinuations = "too_many_continuations"
    /// In one SETTINGS frame.
    case tooManySettings = "too_many_settings"
    /// One more than the limit that the peer has acknowledged.
    case tooManyStreams = "too_many_streams"
    /// The first bytes are not HTTP/2's.
    case notHTTP2 = "not_http2"
    case protocolError = "protocol_error"
    /// The TLS handshake took too long.
    case tlsTimeout = "tls_timeout"
    /// What came instead of a handshake is not TLS.
    case tlsNotTLS = "tls_not_tls"
    /// The client's certificate is missing or not of the CA.
    case tlsCertificate = "tls_certificate"
    /// The client did not agree on `h2` (ALPN).
    case tlsNoHTTP2 = "tls_no_h2"
    /// Any other end of a handshake: no common version or cipher, or the client did not like the server's certificate.
    case tlsFailed = "tls_failed"

    /// Whether a log's reader should know who it was.
    var isAbuse: Bool {
        switch self {
        case .idle, .maxAge, .graceOver, .keepaliveTimeout: false
        default: true
        }
    }
}
