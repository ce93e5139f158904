import CNghttp2

/// What one peer may ask of the server. Every limit has a reason in `Documentation/architecture.md`.
public struct ServerLimits: Sendable {
    /// Connections open at once, of all peers together; more are closed as they come.
    public var maxConnections: Int = 10_000
    /// Calls open at once on one connection.
    public var maxConcurrentStreams: UInt32 = 1_024
    /// Bytes a peer may send on one stream before they are consumed.
    public var streamWindow: UInt32 = 1 << 20
    /// The same for the whole connection.
    public var connectionWindow: UInt32 = 16 << 20
    /// One header block: names and values, and 32 for each header (RFC 9113 §10.5.1).
    public var maxHeaderBytes: UInt32 = 16 << 10
    /// One request message, without its prefix. gRPC's own default.
    public var maxRequestBytes: Int = 4 << 20
    /// Bytes of incomplete requests that one connection may have lying here.
    public var maxBufferedBytes: Int = 64 << 20
    /// Bytes read from a peer that does not take the answers, before reading stops until it does: what it sends may
    /// have to be answered, and the answers would gather here.
    public var maxInputWhileStuck: Int = 256 << 10
    /// Bytes of answers that one connection may have lying here because its windows have no room for them; beyond that
    /// calls are refused with RESOURCE_EXHAUSTED until the peer opens them.
    public var maxUnsentBytes: Int = 64 << 20
    /// Entries in one SETTINGS frame.
    public var maxSettings: UInt32 = 32
    /// Answers to PING and SETTINGS that the peer has not taken yet.
    public var maxOutboundAcknowledgements: UInt32 = 1_000
    /// CONTINUATION frames of one header block that are let through however they are split over reads. Whole ones end
    /// the connection at nine times as many, because libnghttp2 counts parts of their headers too.
    public var maxContinuations: UInt32 = 8
    /// Calls that may end before their answer at once (CVE-2023-44487), and each second after; beyond that the
    /// connection ends with ENHANCE_YOUR_CALM. Honest clients cancel in bursts.
    public var resetBurst: UInt32 = 1_000
    public var resetRate: UInt32 = 33
    /// Frames that move nothing (SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA, unknown types), at once and each second
    /// after. Calls and output earn more; beyond that the connection ends with ENHANCE_YOUR_CALM.
    public var idleFrameBurst: UInt32 = 10_000
    public var idleFrameRate: UInt32 = 1_000

    public var lifetime: ConnectionLifetime = .defaults

    public static let defaults = ServerLimits()

    var c: cng_limits {
        cng_limits(
            max_concurrent_streams: maxConcurrentStreams, stream_window: streamWindow,
            connection_window: connectionWindow, max_header_bytes: maxHeaderBytes, max_settings: maxSettings,
            max_outbound_ack: maxOutboundAcknowledgements, max_continuations: maxContinuations,
            reset_burst: resetBurst, reset_rate: resetRate)
    }
}
