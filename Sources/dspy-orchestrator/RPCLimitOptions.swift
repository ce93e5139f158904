import ArgumentParser
import Programs
import RPCServer

/// The flags that limit what gRPC's peers may ask of the server, and for how long.
struct RPCLimitOptions: ParsableArguments {
    @Option(
        help:
            "gRPC connections open at once; more are closed as they come. (env: ORCHESTRATOR_RPC_MAX_CONNECTIONS; default: 10000)"
    )
    var rpcMaxConnections: String?

    @Option(
        help:
            "Calls open at once on one gRPC connection, event streams among them. (env: ORCHESTRATOR_RPC_MAX_STREAMS; default: 1024)"
    )
    var rpcMaxStreams: String?

    @Option(
        help:
            "gRPC calls open at once on the whole server; more are told to try again. (env: ORCHESTRATOR_RPC_MAX_CALLS; default: 100000)"
    )
    var rpcMaxCalls: String?

    @Option(
        help:
            "Bytes of one request message, unpacked too. (env: ORCHESTRATOR_RPC_MAX_MESSAGE_BYTES; default: 4194304)")
    var rpcMaxMessageBytes: String?

    @Option(
        help:
            "Bytes of one call's headers, with 32 for each. (env: ORCHESTRATOR_RPC_MAX_HEADER_BYTES; default: 16384)")
    var rpcMaxHeaderBytes: String?

    @Option(
        help:
            "Seconds without a call after which a connection is told to go; its client opens another when it needs one. 0: never. (env: ORCHESTRATOR_RPC_IDLE_TIMEOUT_SECONDS; default: 300)"
    )
    var rpcIdleTimeoutSeconds: String?

    @Option(
        help:
            "Seconds, give or take a tenth, after which a connection is told to go, so that clients spread over the servers there are by then. 0: never. (env: ORCHESTRATOR_RPC_MAX_AGE_SECONDS; default: 0)"
    )
    var rpcMaxAgeSeconds: String?

    @Option(
        help:
            "Seconds that calls may go on after either of the two. (env: ORCHESTRATOR_RPC_AGE_GRACE_SECONDS; default: 60)"
    )
    var rpcAgeGraceSeconds: String?

    @Option(
        help:
            "Seconds of silence after which a peer is sent a PING. 0: never. (env: ORCHESTRATOR_RPC_KEEPALIVE_SECONDS; default: 7200)"
    )
    var rpcKeepaliveSeconds: String?

    @Option(
        help:
            "Seconds that its answer may take. (env: ORCHESTRATOR_RPC_KEEPALIVE_TIMEOUT_SECONDS; default: 20)")
    var rpcKeepaliveTimeoutSeconds: String?

    @Option(
        help:
            "Seconds that a peer leaves between two PINGs while the server has nothing to send. 0: as it likes. (env: ORCHESTRATOR_RPC_MIN_PING_SECONDS; default: 10)"
    )
    var rpcMinPingSeconds: String?

    @Option(
        help:
            "Seconds from a connection to its first SETTINGS. 0: any. (env: ORCHESTRATOR_RPC_PREFACE_TIMEOUT_SECONDS; default: 10)"
    )
    var rpcPrefaceTimeoutSeconds: String?

    @Option(
        help:
            "Seconds without progress after which what a peer has begun is ended: a frame or a request that is not whole, answers that its socket does not take. 0: never. (env: ORCHESTRATOR_RPC_STUCK_TIMEOUT_SECONDS; default: 60)"
    )
    var rpcStuckTimeoutSeconds: String?
}

extension ServerLimits {
    /// What is left of the memory that one message may take once it is unpacked.
    private static let largestMessage = 32 << 20
    private static let longest: Double = 365 * 86_400

    /// - Throws: `ValidationError` that names the flag, the value and what is expected.
    init(_ options: RPCLimitOptions, environment: [String: String]) throws {
        self = .defaults
        func setting<Value>(
            _ name: String, _ given: String?, _ expected: String, _ fallback: Value,
            _ parse: @escaping (String) -> Value?
        ) throws -> Value {
            try Setting(
                flag: "--rpc-\(name)",
                variable: "ORCHESTRATOR_RPC_" + name.uppercased().replacing("-", with: "_"), parse: parse,
                expected: expected
            ).value(given, environment: environment, default: fallback)
        }
        func count(_ name: String, _ given: String?, _ range: ClosedRange<Int>, _ fallback: Int) throws -> Int {
            try setting(
                name, given, "a number from \(range.lowerBound) to \(range.upperBound)", fallback, Parse.count(range))
        }
        func duration(_ name: String, _ given: String?, _ fallback: Duration, least: Double = 0) throws -> Duration {
            try setting(
                name, given, "a number of seconds from \(least == 0 ? "0" : "\(least)") to \(Int(Self.longest))",
                fallback, Parse.seconds(least...Self.longest))
        }
        /// 0 turns it off.
        func optional(_ name: String, _ given: String?, _ fallback: Duration?) throws -> Duration? {
            let value = try duration(name, given, fallback ?? .zero)
            return value == .zero ? nil : value
        }
        maxConnections = try count("max-connections", options.rpcMaxConnections, 1...1_000_000, maxConnections)
        maxConcurrentStreams = UInt32(
            try count("max-streams", options.rpcMaxStreams, 1...1_000_000, Int(maxConcurrentStreams)))
        maxRequestBytes = try count(
            "max-message-bytes", options.rpcMaxMessageBytes, 1_024...Self.largestMessage, maxRequestBytes)
        maxHeaderBytes = UInt32(
            try count("max-header-bytes", options.rpcMaxHeaderBytes, 1_024...(1 << 20), Int(maxHeaderBytes)))
        lifetime.idleTimeout = try optional(
            "idle-timeout-seconds", options.rpcIdleTimeoutSeconds, lifetime.idleTimeout)
        lifetime.maxAge = try optional("max-age-seconds", options.rpcMaxAgeSeconds, lifetime.maxAge)
        lifetime.grace = try duration(
            "age-grace-seconds", options.rpcAgeGraceSeconds, lifetime.grace ?? .zero)
        lifetime.keepaliveInterval = try optional(
            "keepalive-seconds", options.rpcKeepaliveSeconds, lifetime.keepaliveInterval)
        lifetime.keepaliveTimeout = try duration(
            "keepalive-timeout-seconds", options.rpcKeepaliveTimeoutSeconds, lifetime.keepaliveTimeout, least: 0.1)
        lifetime.minimumPingInterval = try duration(
            "min-ping-seconds", options.rpcMinPingSeconds, lifetime.minimumPingInterval)
        lifetime.firstSettingsTimeout = try optional(
            "preface-timeout-seconds", options.rpcPrefaceTimeoutSeconds, lifetime.firstSettingsTimeout)
        let stuck = try optional("stuck-timeout-seconds", options.rpcStuckTimeoutSeconds, lifetime.frameTimeout)
        lifetime.frameTimeout = stuck
        lifetime.requestTimeout = stuck
        lifetime.writeTimeout = stuck
    }
}

extension CallPolicy {
    /// - Throws: `ValidationError` that names the flag, the value and what is expected.
    init(_ options: RPCLimitOptions, environment: [String: String]) throws {
        self.init()
        maxOpenCalls = try Setting(
            flag: "--rpc-max-calls", variable: "ORCHESTRATOR_RPC_MAX_CALLS", parse: Parse.count(1...10_000_000),
            expected: "a number from 1 to 10000000"
        ).value(options.rpcMaxCalls, environment: environment, default: maxOpenCalls)
    }
}
