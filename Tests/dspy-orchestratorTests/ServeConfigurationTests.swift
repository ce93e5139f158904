import ArgumentParser
import Credentials
import Orchestrator
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
    }

    @Test func aFlagBeatsItsVariableAndAnEmptyVariableIsAbsent() throws {
        let environment = ["ENV_QUEUE_DIR": "/from/variable", "ORCHESTRATOR_LOG_DIR": "", "METRICS_ENABLED": "false"]
        let mixed = try configuration(["--queue-dir", "/from/flag"], environment)
        #expect(mixed.queueDirectory == "/from/flag")
        #expect(mixed.logDirectory == "logs")
        #expect(!mixed.isMetricsEnabled)
        #expect(try configuration([], environment).queueDirectory == "/from/variable")
    }

    @Test(arguments: [
        (["--rpc-listen", "nonsense"], "--rpc-listen", "nonsense"),
        (["--http-listen", "127.0.0.1:99999"], "--http-listen", "99999"),
        (["--demo", "perhaps"], "--demo", "perhaps"),
        (["--cpu-short-limit", "0"], "--cpu-short-limit", "0"),
        (["--shutdown-grace-seconds", "soon"], "--shutdown-grace-seconds", "soon"),
        (["--log-level", "loud"], "--log-level", "loud"),
        (["--rpc-listen", "0.0.0.0:1"], "--rpc-listen", "--insecure"),
    ])
    func aBadValueIsRefusedNamingItsFlag(arguments: [String], flag: String, words: String) throws {
        let error = try #require(throws: (any Error).self) {
            try configuration(arguments)
        }
        let message = ServeOptions.message(for: error)
        #expect(message.contains(flag) && message.contains(words), "\(message)")
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
