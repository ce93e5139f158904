import NIOSSL

/// Where the gateway listens and what one client may use of it.
public struct GatewayConfiguration: Sendable {
    /// A name or an address. On a loopback address only requests that name this machine are answered, see `BrowserGuard`.
    public var host: String
    /// 0 picks a free one.
    public var port: Int
    /// Connections at once; further ones wait in the kernel's backlog. Default 512.
    public var maxConnections = 512
    /// A connection without a request, or one that stops in the middle of one, is closed after it. Default 60 s.
    public var idleTimeout: Duration = .seconds(60)
    /// All header fields of one request, in bytes. Default 16 KiB.
    public var maxHeaderBytes = 16 << 10
    /// The body of one request, in bytes. Default 1 MiB and 64 KiB: the largest payload and what stands around it.
    public var maxBodyBytes = (1 << 20) + (64 << 10)
    /// For a whole body to arrive. Default 30 s.
    public var bodyTimeout: Duration = .seconds(30)
    /// Responses that stream events or output, at once; further ones are refused with 503. Default 256.
    public var maxStreams = 256
    /// A stream with nothing to send sends a comment this often. Default 15 s.
    public var heartbeat: Duration = .seconds(15)
    /// For one piece of a streamed response to be taken; then the connection is closed. Default 60 s.
    public var writeTimeout: Duration = .seconds(60)
    /// For requests in flight when the server stops. Default 5 s.
    public var shutdownGrace: Duration = .seconds(5)
    /// What connections are encrypted with; asked for each new one. Default: plain text.
    public var tls: (@Sendable () -> NIOSSLContext)?
    /// Who may use which route. Default: everybody all.
    public var access: GatewayAccess?

    public init(host: String = "127.0.0.1", port: Int = 9097) {
        self.host = host
        self.port = port
    }

    var isLoopback: Bool { host == "localhost" || host == "::1" || host.hasPrefix("127.") }
}
