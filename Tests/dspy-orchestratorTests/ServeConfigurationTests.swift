import ArgumentParser
import Credentials
import Orchestrator
import Programs
import RPCServer
import Testing

@testable import dspy_orchestrator

@Suite struct ServeConfigurationTests {
    private func configuration(
        _ arguments: [String] = [], _ environment: [String: String] = [:]
    ) throws -> ServeConfiguration {
        try ServeConfiguration(try ServeOptions.parse(arguments), environment: environment)
    }

    @Test func theDefaultsAreTheContracts() throws {
        let defaults = try configuration()
        #expect(defaults.rpc == ListenAddress(host: "127.0.0.1", port: 50_051))
        #expect(defaults.http == ListenAddress(host: "127.0.0.1", port: 9_097))
        #expect(defaults.queueDirectory == "logs/env_queue")
        #expect(defaults.logDirectory == "logs")
        #expect(!defaults.isDemo && defaults.isMetricsEnabled)
        // Whoever sits at a terminal does not wait for anything.
        #expect(defaults.drainDelay == .zero)
    }

    @Test func aFlagBeatsItsVariableAndAnEmptyVariableIsAbsent() throws {
        let environment = ["ENV_QUEUE_DIR": "/from/variable", "ORCHESTRATOR_LOG_DIR": "", "METRICS_ENABLED": "false"]
        let mixed = try configuration(["--queue-dir", "/from/flag"], environment)
        #expect(mixed.queueDirectory == "/from/flag")
        #expect(mixed.logDirectory == "logs")
        #expect(!mixed.isMetricsEnabled)
        #expect(try configuration([], environment).queueDirectory == "/from/variable")
    }

    @Test func `the ledger keeps in memory what it is told to`() throws {
        var ledger = Ledger.Configuration(directory: "")
        let standard = (ledger.recentJobs, ledger.ringEvents, ledger.pageCacheBytes)
        try configuration().caches.apply(to: &ledger)
        #expect((ledger.recentJobs, ledger.ringEvents, ledger.pageCacheBytes) == standard)
        try configuration(["--cache-jobs", "5", "--cache-events", "64"], ["ORCHESTRATOR_CACHE_LEDGER_BYTES": "2MiB"])
            .caches.apply(to: &ledger)
        #expect((ledger.recentJobs, ledger.ringEvents, ledger.pageCacheBytes) == (5, 64, 2 << 20))
        #expect(ledger.recoveredEvents == 64)
    }

    @Test(arguments: [
        (["--rpc-listen", "nonsense"], "--rpc-listen", "nonsense"),
        (["--http-listen", "127.0.0.1:99999"], "--http-listen", "99999"),
        (["--demo", "perhaps"], "--demo", "perhaps"),
        (["--cpu-short-limit", "0"], "--cpu-short-limit", "0"),
        (["--drain-delay-seconds", "3601"], "--drain-delay-seconds", "0 to 3600"),
        (["--shutdown-grace-seconds", "soon"], "--shutdown-grace-seconds", "soon"),
        (["--log-level", "loud"], "--log-level", "loud"),
        (["--log-format", "xml"], "--log-format", "text or json"),
        (["--rpc-listen", "0.0.0.0:1"], "--rpc-listen", "--insecure"),
        (["--rpc-max-connections", "0"], "--rpc-max-connections", "1 to 1000000"),
        (["--rpc-max-streams", "many"], "--rpc-max-streams", "many"),
        (["--rpc-max-calls", "0"], "--rpc-max-calls", "1 to 10000000"),
        (["--rpc-max-message-bytes", "1000000000000"], "--rpc-max-message-bytes", "33554432"),
        (["--rpc-max-header-bytes", "10"], "--rpc-max-header-bytes", "1024"),
        (["--rpc-keepalive-timeout-seconds", "0"], "--rpc-keepalive-timeout-seconds", "0.1"),
        (["--rpc-stuck-timeout-seconds=-1"], "--rpc-stuck-timeout-seconds", "0 to 31536000"),
        (["--rpc-max-age-seconds", "nan"], "--rpc-max-age-seconds", "nan"),
        (["--max-open-files", "1"], "--max-open-files", "64"),
        (["--queue-lost-seconds", "0"], "--queue-lost-seconds", "1 to 86400"),
        (["--cache-jobs", "0"], "--cache-jobs", "1 to 10000000"),
        (["--cache-events", "63"], "--cache-events", "64 to 10000000"),
        (["--cache-ledger-bytes", "0"], "--cache-ledger-bytes", "1MiB"),
    ])
    func aBadValueIsRefusedNamingItsFlag(arguments: [String], flag: String, words: String) throws {
        let error = try #require(throws: (any Error).self) {
            try configuration(arguments)
        }
        let message = ServeOptions.message(for: error)
        #expect(message.contains(flag) && message.contains(words), "\(message)")
    }

    @Test func `gRPC's limits are the engine's, unless told otherwise`() throws {
        let defaults = try configuration().rpcLimits
        let engine = ServerLimits.defaults
        #expect(defaults.maxConnections == engine.maxConnections)
        #expect(defaults.maxConcurrentStreams == engine.maxConcurrentStreams)
        #expect(defaults.maxRequestBytes == engine.maxRequestBytes)
        #expect(defaults.maxBufferedBytes == engine.maxBufferedBytes)
        #expect(defaults.maxHeaderBytes == engine.maxHeaderBytes)
        #expect(defaults.lifetime == engine.lifetime)
        #expect(try configuration().rpcPolicy.maxOpenCalls == CallPolicy().maxOpenCalls)
    }

    @Test func `each limit has its flag, and its variable beside it`() throws {
        let given: [String: String] = [
            "max-connections": "11", "max-streams": "12", "max-calls": "13", "max-message-bytes": "33000000",
            "max-header-bytes": "2000", "idle-timeout-seconds": "0", "max-age-seconds": "3600",
            "age-grace-seconds": "0.5", "keepalive-seconds": "30", "keepalive-timeout-seconds": "5",
            "min-ping-seconds": "0", "preface-timeout-seconds": "2", "stuck-timeout-seconds": "3",
        ]
        let flags = given.flatMap { ["--rpc-\($0)", $1] }
        let variables = Dictionary(
            uniqueKeysWithValues: given.map {
                ("ORCHESTRATOR_RPC_" + $0.uppercased().replacing("-", with: "_"), $1)
            })
        for found in [try configuration(flags), try configuration([], variables)] {
            let limits = found.rpcLimits
            #expect(limits.maxConnections == 11 && limits.maxConcurrentStreams == 12)
            #expect(found.rpcPolicy.maxOpenCalls == 13)
            #expect(limits.maxRequestBytes == 33_000_000)
            #expect(limits.maxHeaderBytes == 2_000)
            var lifetime = ConnectionLifetime.defaults
            lifetime.idleTimeout = nil
            lifetime.maxAge = .seconds(3_600)
            lifetime.grace = .milliseconds(500)
            lifetime.keepaliveInterval = .seconds(30)
            lifetime.keepaliveTimeout = .seconds(5)
            lifetime.minimumPingInterval = .zero
            lifetime.firstSettingsTimeout = .seconds(2)
            lifetime.frameTimeout = .seconds(3)
            lifetime.requestTimeout = .seconds(3)
            lifetime.writeTimeout = .seconds(3)
            #expect(limits.lifetime == lifetime)
        }
    }

    @Test func `every variable stands in the help`() {
        let help = ServeOptions.helpMessage(columns: 10_000)
        for name in ["RPC_MAX_CONNECTIONS", "RPC_STUCK_TIMEOUT_SECONDS", "MAX_OPEN_FILES"] {
            #expect(help.contains("env: ORCHESTRATOR_\(name)"))
        }
    }

    @Test func `more connections than files are told with the numbers and the way out`() throws {
        let limits = OpenFiles.Limits(before: 64, now: 1_024)
        let shortage = try #require(OpenFiles.shortage(limits, connections: 10_000))
        for word in ["--rpc-max-connections 10000", "10512", "1024", "LimitNOFILE"] { #expect(shortage.contains(word)) }
        #expect(OpenFiles.shortage(limits, connections: 512) == nil)
    }

    @Test func `how much history is kept is set by flags and variables, and 0 is no limit`() throws {
        #expect(try configuration().retention == .standard)
        let environment = [
            "ORCHESTRATOR_KEEP_JOBS_DAYS": "0.5", "ORCHESTRATOR_KEEP_EVENTS": "10", "ORCHESTRATOR_KEEP_OUTPUTS": "9",
        ]
        let retention = try configuration(
            [
                "--keep-jobs", "7", "--keep-events-days", "0", "--keep-ledger-bytes", "3MiB", "--keep-outputs", "8",
                "--keep-outputs-days", "2", "--keep-output-bytes", "0",
            ], environment
        ).retention
        #expect(retention.jobs == .init(age: .seconds(43_200), count: 7))
        #expect(retention.events == .init(age: nil, count: 10))
        #expect(retention.outputs == .init(age: .seconds(172_800), count: 8))
        #expect(retention.ledgerBytes == 3 << 20 && retention.outputBytes == nil)
    }

    @Test(arguments: [
        ("--keep-jobs-days", "-1"), ("--keep-jobs", "many"), ("--keep-events-days", "nan"), ("--keep-events", "-5"),
        ("--keep-ledger-bytes", "10GB"), ("--keep-outputs", "1.5"), ("--keep-output-bytes", "9999999TiB"),
    ])
    func `a limit of history that is none is refused naming its flag`(flag: String, value: String) throws {
        let error = try #require(throws: (any Error).self) { try configuration(["\(flag)=\(value)"]) }
        let message = ServeOptions.message(for: error)
        #expect(message.contains(flag) && message.contains("\"\(value)\""), "\(message)")
    }

    @Test func aBadVariableIsRefusedNamingIt() throws {
        let error = try #require(throws: ValidationError.self) {
            try configuration([], ["ORCHESTRATOR_HTTP_LISTEN": "nowhere"])
        }
        #expect(error.message.contains("ORCHESTRATOR_HTTP_LISTEN") && error.message.contains("nowhere"))
    }

    @Test func `what is kept of a batch job's output is bounded, by a size that is one`() throws {
        func cap(_ given: String...) throws -> Int64? {
            try configuration(["--slurm", "true"] + given.flatMap { ["--slurm-output-bytes", $0] }).slurm?.outputCap
        }
        #expect(try cap() == 16 << 20)
        #expect(try cap("3KiB") == 3 << 10)
        for wrong in ["0", "-1", "2TiB", "much"] {
            let error = try #require(throws: (any Error).self) { try cap(wrong) }
            #expect(ServeOptions.message(for: error).contains("--slurm-output-bytes"), "\(error)")
        }
    }

    @Test func beyondLoopbackNeedsTheWord() throws {
        let open = try configuration(["--rpc-listen", "0.0.0.0:50051", "--insecure", "true"])
        #expect(open.rpc.host == "0.0.0.0")
        #expect(try configuration(["--rpc-listen", "[::1]:0"]).rpc == ListenAddress(host: "::1", port: 0))
    }

    @Test func `certificates and tokens come from flags or variables, and know which`() throws {
        let secure = try configuration(
            ["--rpc-listen", "0.0.0.0:1", "--tls-certificate", "/c", "--tls-key", "/k", "--tls-client-ca", "/ca"],
            ["ORCHESTRATOR_AUTH_TOKENS": "/t", "ORCHESTRATOR_TLS_KEY": "/other"])
        #expect(secure.tls?.certificate == CredentialFile("/c", setting: "--tls-certificate"))
        #expect(secure.tls?.key == CredentialFile("/k", setting: "--tls-key"))
        #expect(secure.tls?.clientCA == CredentialFile("/ca", setting: "--tls-client-ca"))
        #expect(secure.tokens == CredentialFile("/t", setting: "--auth-tokens"))
    }

    @Test(arguments: [
        (["--tls-certificate", "/c"], "--tls-key"), (["--tls-key", "/k"], "--tls-certificate"),
        (["--tls-client-ca", "/ca"], "--tls-certificate"), (["--auth-tokens", ""], "--auth-tokens"),
        (["--rpc-listen", "0.0.0.0:1", "--auth-tokens", "/t"], "--tls-certificate"),
        (["--http-listen", "0.0.0.0:1", "--tls-certificate", "/c", "--tls-key", "/k"], "--auth-tokens"),
    ])
    func `half of what security needs is refused, naming the other half`(arguments: [String], words: String) throws {
        let error = try #require(throws: (any Error).self) { try configuration(arguments) }
        #expect(ServeOptions.message(for: error).contains(words))
    }

    @Test func `metrics are open on loopback and probes everywhere, unless told otherwise`() throws {
        let secure = ["--tls-certificate", "/c", "--tls-key", "/k", "--auth-tokens", "/t"]
        let beyond = ["--http-listen", "0.0.0.0:1"] + secure
        #expect(try configuration(secure).opensMetrics)
        #expect(try !configuration(beyond).opensMetrics)
        #expect(try configuration(beyond + ["--open-metrics", "true"]).opensMetrics)
        #expect(try configuration(beyond).opensProbes)
        #expect(try !configuration(beyond + ["--open-probes", "false"]).opensProbes)
    }
}
