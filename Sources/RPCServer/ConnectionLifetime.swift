/// How long a connection may live, be quiet, or keep the server waiting, and how often it may ask whether the server is
/// still there. nil turns a rule off.
public struct ConnectionLifetime: Sendable, Equatable {
    // MARK: Ends without blame

    /// Without a call for so long, the connection is told to go (GOAWAY, NO_ERROR); a gRPC client opens another when it
    /// needs one. Default 5 min; gRPC's `MAX_CONNECTION_IDLE`.
    public var idleTimeout: Duration? = .seconds(300)
    /// So old, give or take a tenth at random, the connection is told to go, so that clients spread over the servers
    /// there are by then. Default off; gRPC's `MAX_CONNECTION_AGE` (gRFC A9).
    public var maxAge: Duration?
    /// How long calls may go on after either of the two; then they are cut off. Default 60 s; gRPC's
    /// `MAX_CONNECTION_AGE_GRACE`.
    public var grace: Duration? = .seconds(60)

    // MARK: Keepalive (gRFC A8)

    /// A peer that was quiet for so long is sent a PING. Default 2 h; gRPC's `KEEPALIVE_TIME`.
    public var keepaliveInterval: Duration? = .seconds(7_200)
    /// How long its answer, or anything else, may take. Default 20 s; gRPC's `KEEPALIVE_TIMEOUT`.
    public var keepaliveTimeout: Duration = .seconds(20)
    /// How often a peer may send PINGs while the server has nothing to send; a tenth less is let pass for the clocks.
    /// Default 10 s (gRPC's own is 5 min, which kills quiet streams of clients with proxies in between).
    public var minimumPingInterval: Duration = .seconds(10)
    /// Whether it may without a call, too; else every 2 h. Default true.
    public var permitsPingsWithoutCalls = true
    /// PINGs too early before the connection ends with ENHANCE_YOUR_CALM and `too_many_pings`; sending anything but
    /// answers to PINGs forgets them. Default 2.
    public var pingStrikes = 2

    // MARK: Patience

    /// From the connection to the peer's preface and SETTINGS. Default 10 s.
    public var firstSettingsTimeout: Duration? = .seconds(10)
    /// From a frame's first byte to its last, or a header block's, which may be several frames. Default 60 s.
    public var frameTimeout: Duration? = .seconds(60)
    /// How long a call's one request may bring nothing before it is whole; then the call ends with CANCELLED. Looked at so often, and so noticed after at most twice the time. Default 60 s.
    public var requestTimeout: Duration? = .seconds(60)
    /// How long the socket may refuse all output. Default 60 s.
    public var writeTimeout: Duration? = .seconds(60)

    public static let defaults = ConnectionLifetime()
}
