import ArgumentParser
import Credentials
import Foundation
import Logging
import Orchestrator
import Programs
import RPCServer
import Services

/// The flags of `serve`. Each has an environment variable; the flag beats it.
struct ServeOptions: ParsableArguments {
    @Option(
        name: .customLong("rpc-listen"),
        help:
            "Where gRPC listens, HOST:PORT; port 0 picks a free one. (env: ORCHESTRATOR_RPC_LISTEN; default: 127.0.0.1:50051)"
    )
    var rpcListen: String?

    @Option(
        name: .customLong("http-listen"),
        help: "Where the HTTP gateway listens, HOST:PORT. (env: ORCHESTRATOR_HTTP_LISTEN; default: 127.0.0.1:9097)")
    var httpListen: String?

    @Option(help: "Where the ledger and the jobs' files live. (env: ORCHESTRATOR_DATA_DIR; default: data)")
    var dataDir: String?

    @Option(
        help:
            "The file queue's directory, with pending/, claimed/, done/ and failed/. (env: ENV_QUEUE_DIR; default: logs/env_queue)"
    )
    var queueDir: String?

    @Option(
        help:
            "The program dspy-job-supervisor, of which each running job has one. (env: ORCHESTRATOR_SUPERVISOR; default: beside this program)"
    )
    var supervisor: String?

    @Option(
        help:
            "Seconds without a sign of life from this server after which another one on the same queue directory may take over what it has claimed there; 2 to 86400. (env: ORCHESTRATOR_QUEUE_LEASE_SECONDS; default: 30)"
    )
    var queueLeaseSeconds: String?

    @Option(
        help:
            "Seconds that a task which another one took over may be nowhere in the queue directory before its job is LOST here; 1 to 86400. (env: ORCHESTRATOR_QUEUE_LOST_SECONDS; default: 300)"
    )
    var queueLostSeconds: String?

    @Option(help: "Where agent_action.jsonl goes. (env: ORCHESTRATOR_LOG_DIR; default: logs)")
    var logDir: String?

    @Option(
        help: "1 submits a steady trickle of small labelled sample jobs. (env: ORCHESTRATOR_DEMO; default: 0)")
    var demo: String?

    @Option(
        help: "false answers 404 on /metrics. (env: METRICS_ENABLED; default: true)")
    var metricsEnabled: String?

    @Option(
        help:
            "Jobs of class cpu_short running at once. (env: ORCHESTRATOR_CPU_SHORT_LIMIT; default: twice the processors)"
    )
    var cpuShortLimit: String?

    @Option(help: "Jobs of class cpu_long running at once. (env: ORCHESTRATOR_CPU_LONG_LIMIT; default: the processors)")
    var cpuLongLimit: String?

    @Option(
        help: "Jobs of class gpu running at once. (env: ORCHESTRATOR_GPU_LIMIT; default: one for each GPU, else 1)")
    var gpuLimit: String?

    @OptionGroup var slurm: SlurmServeOptions

    @OptionGroup var retention: RetentionOptions

    @OptionGroup var caches: CacheOptions

    @Option(
        help:
            "A YAML file with any of these settings, with handlers, and with the limits, sandbox, GPUs and concurrency of jobs; see `dspy-orchestrator config` and Documentation/runner.md. (env: ORCHESTRATOR_CONFIG; default: none)"
    )
    var config: String?

    @Option(
        help:
            "Seconds from SIGTERM, when health turns to NOT_SERVING and /readyz to 503, until jobs are refused and the rest winds up; to be set where a load balancer or Kubernetes has to notice first. A second SIGTERM cuts it short. (env: ORCHESTRATOR_DRAIN_DELAY_SECONDS; default: 0)"
    )
    var drainDelaySeconds: String?

    @Option(
        help:
            "Seconds that running jobs have to end after SIGTERM and that delay. (env: ORCHESTRATOR_SHUTDOWN_GRACE_SECONDS; default: 20)"
    )
    var shutdownGraceSeconds: String?

    @Option(
        help: "Event loops for gRPC. (env: ORCHESTRATOR_RPC_THREADS; default: the processors, at most 8)")
    var rpcThreads: String?

    @Option(
        help:
            "trace, debug, info, notice, warning, error or critical, on standard error. (env: ORCHESTRATOR_LOG_LEVEL; default: info)"
    )
    var logLevel: String?

    @Option(
        help:
            "text, or json: one object a line with time, level, logger, message and what else there is to say. (env: ORCHESTRATOR_LOG_FORMAT; default: text)"
    )
    var logFormat: String?

    @Option(
        help: "true logs each gRPC call when it is over. (env: ORCHESTRATOR_ACCESS_LOG; default: false)")
    var accessLog: String?

    @Option(
        help:
            "Encrypts gRPC and HTTP with this certificate: a PEM file, the server's own first, then the intermediate ones. Read again when it changes. (env: ORCHESTRATOR_TLS_CERTIFICATE; default: no encryption)"
    )
    var tlsCertificate: String?

    @Option(
        help: "The certificate's private key, a PEM file without a passphrase. (env: ORCHESTRATOR_TLS_KEY)")
    var tlsKey: String?

    @Option(
        name: .customLong("tls-client-ca"),
        help:
            "Takes only clients with a certificate that this CA signed, a PEM file; without --auth-tokens each of them may do everything. (env: ORCHESTRATOR_TLS_CLIENT_CA)"
    )
    var tlsClientCA: String?

    @Option(
        help:
            "Takes only callers this file knows. One line each: SUBJECT ROLES sha256:HEX for a token, cert:NAME ROLES for a client certificate; ROLES are submit, read and admin, with commas between; # starts a comment. HEX is what `printf %s \"$TOKEN\" | sha256sum` prints. Read again when it changes. (env: ORCHESTRATOR_AUTH_TOKENS; default: no tokens)"
    )
    var authTokens: String?

    @Option(
        help:
            "false asks callers of /health, /livez and /readyz for the role read, when callers are known. (env: ORCHESTRATOR_OPEN_PROBES; default: true)"
    )
    var openProbes: String?

    @Option(
        help:
            "false asks callers of /metrics for the role read, when callers are known. (env: ORCHESTRATOR_OPEN_METRICS; default: true on loopback, else false)"
    )
    var openMetrics: String?

    @Option(
        help:
            "false asks callers of gRPC's health service for the role read, when callers are known. (env: ORCHESTRATOR_OPEN_HEALTH; default: true)"
    )
    var openHealth: String?

    @Option(
        help:
            "false asks callers of gRPC's reflection for the role read, when callers are known. (env: ORCHESTRATOR_OPEN_REFLECTION; default: true)"
    )
    var openReflection: String?

    @Option(
        help:
            "true allows to listen beyond loopback without encryption and tokens, where anybody who reaches the port can run commands here. (env: ORCHESTRATOR_INSECURE; default: false)"
    )
    var insecure: String?

    @Option(
        help:
            "Files and connections open at once; jobs start with the limit that was. (env: ORCHESTRATOR_MAX_OPEN_FILES; default: as many as this process is allowed)"
    )
    var maxOpenFiles: String?

    @Option(
        help:
            "Events a second that one caller may publish, and in one go what it saved up in ten. 0: any. (env: ORCHESTRATOR_PUBLISH_RATE; default: 100)"
    )
    var publishRate: String?

    @OptionGroup(title: "Where events go")
    var sinks: SinkOptions

    @OptionGroup(title: "Limits of gRPC")
    var rpcLimits: RPCLimitOptions
}

/// What `serve` was told, checked.
struct ServeConfiguration {
    var rpc: ListenAddress
    var http: ListenAddress
    var dataDirectory: String
    var queueDirectory: String
    var queueLease: Duration
    var queueLost: Duration
    /// nil looks beside the server's own executable.
    var supervisor: String?
    var logDirectory: String
    var sinks: SinkSettings
    var isDemo: Bool
    var isMetricsEnabled: Bool
    var limits: [JobClass: Int]
    /// Otherwise it follows the number of devices.
    var isGPULimitGiven: Bool
    /// What the file of --config says about running jobs.
    var runner: RunnerSettings
    var retention: Retention
    var caches: CacheSizes
    /// From not ready to taking no jobs.
    var drainDelay: Duration
    var shutdownGrace: Duration
    var rpcThreads: Int
    var logLevel: Logger.Level
    var logFormat: LogFormat
    var logsCalls: Bool
    /// nil is plain text.
    var tls: TLSFiles?
    /// nil when there are no tokens.
    var tokens: CredentialFile?
    var opensProbes: Bool
    var opensMetrics: Bool
    var methodRoles: MethodRoles
    var rpcLimits: ServerLimits
    var rpcPolicy: CallPolicy
    /// Events a second, by one caller; 0 is without limit.
    var publishRate: Int
    /// nil is as many as the process is allowed.
    var maxOpenFiles: UInt64?
    /// nil is no bridge.
    var slurm: SlurmConfiguration?

    /// - Throws: `ValidationError` that names the flag, the value and what is expected.
    init(
        _ options: ServeOptions, environment variables: [String: String] = ProcessInfo.processInfo.environment
    ) throws {
        let configured = try options.configurationFile(environment: variables)
        runner = configured.runner
        let environment = configured.environment
        let processors = ProcessInfo.processInfo.activeProcessorCount
        func setting<Value>(
            _ flag: String, _ variable: String, _ given: String?, _ expected: String, _ fallback: Value,
            _ parse: @escaping (String) -> Value?
        ) throws -> Value {
            try Setting(flag: "--\(flag)", variable: variable, parse: parse, expected: expected)
                .value(given, environment: environment, default: fallback)
        }
        let address = "HOST:PORT, such as 127.0.0.1:50051"
        rpc = try setting(
            "rpc-listen", "ORCHESTRATOR_RPC_LISTEN", options.rpcListen, address,
            ListenAddress(host: "127.0.0.1", port: 50_051), Parse.address)
        http = try setting(
            "http-listen", "ORCHESTRATOR_HTTP_LISTEN", options.httpListen, address,
            ListenAddress(host: "127.0.0.1", port: 9_097), Parse.address)
        dataDirectory = try setting(
            "data-dir", "ORCHESTRATOR_DATA_DIR", options.dataDir, "a path", "data", Parse.path)
        queueDirectory = try setting(
            "queue-dir", "ENV_QUEUE_DIR", options.queueDir, "a path", "logs/env_queue", Parse.path)
        supervisor = try setting(
            "supervisor", "ORCHESTRATOR_SUPERVISOR", options.supervisor, "a path", nil
        ) { Parse.path($0).map { $0 as String? } }
        queueLease = .seconds(
            try setting(
                "queue-lease-seconds", "ORCHESTRATOR_QUEUE_LEASE_SECONDS", options.queueLeaseSeconds,
                "a whole number of seconds from 2 to 86400", 30, Parse.count(2...86_400)))
        queueLost = .seconds(
            try setting(
                "queue-lost-seconds", "ORCHESTRATOR_QUEUE_LOST_SECONDS", options.queueLostSeconds,
                "a whole number of seconds from 1 to 86400", 300, Parse.count(1...86_400)))
        logDirectory = try setting("log-dir", "ORCHESTRATOR_LOG_DIR", options.logDir, "a path", "logs", Parse.path)
        sinks = try SinkSettings(options.sinks, environment: environment)
        isDemo = try setting("demo", "ORCHESTRATOR_DEMO", options.demo, "0 or 1", false, Parse.boolean)
        isMetricsEnabled = try setting(
            "metrics-enabled", "METRICS_ENABLED", options.metricsEnabled, "true or false", true, Parse.boolean)
        let many = Parse.count(1...100_000)
        limits = [
            .cpuShort: try setting(
                "cpu-short-limit", "ORCHESTRATOR_CPU_SHORT_LIMIT", options.cpuShortLimit, "a number from 1 to 100000",
                processors * 2, many),
            .cpuLong: try setting(
                "cpu-long-limit", "ORCHESTRATOR_CPU_LONG_LIMIT", options.cpuLongLimit, "a number from 1 to 100000",
                processors, many),
            .gpu: try setting(
                "gpu-limit", "ORCHESTRATOR_GPU_LIMIT", options.gpuLimit, "a number from 1 to 100000", 1, many),
        ]
        isGPULimitGiven = options.gpuLimit != nil || environment["ORCHESTRATOR_GPU_LIMIT"]?.isEmpty == false
        retention = try Retention(options.retention, environment: environment)
        caches = try CacheSizes(options.caches, environment: environment)
        drainDelay = try setting(
            "drain-delay-seconds", "ORCHESTRATOR_DRAIN_DELAY_SECONDS", options.drainDelaySeconds,
            "a number of seconds from 0 to 3600", .zero, Parse.seconds(0...3_600))
        shutdownGrace = try setting(
            "shutdown-grace-seconds", "ORCHESTRATOR_SHUTDOWN_GRACE_SECONDS", options.shutdownGraceSeconds,
            "a number of seconds from 0 to 86400", .seconds(20), Parse.seconds(0...86_400))
        rpcThreads = try setting(
            "rpc-threads", "ORCHESTRATOR_RPC_THREADS", options.rpcThreads, "a number from 1 to 256",
            min(processors, 8), Parse.count(1...256))
        logsCalls = try setting(
            "access-log", "ORCHESTRATOR_ACCESS_LOG", options.accessLog, "true or false", false, Parse.boolean)
        logLevel = try setting(
            "log-level", "ORCHESTRATOR_LOG_LEVEL", options.logLevel,
            "one of trace, debug, info, notice, warning, error, critical", .info
        ) { Logger.Level(rawValue: $0.lowercased()) }
        logFormat = try setting(
            "log-format", "ORCHESTRATOR_LOG_FORMAT", options.logFormat, "text or json", .text
        ) { LogFormat(rawValue: $0.lowercased()) }
        let isInsecure = try setting(
            "insecure", "ORCHESTRATOR_INSECURE", options.insecure, "true or false", false, Parse.boolean)
        func file(_ flag: String, _ variable: String, _ given: String?) throws -> CredentialFile? {
            try setting(flag, variable, given, "a path", nil) {
                Parse.path($0).map { CredentialFile($0, setting: "--\(flag)") }
            }
        }
        let certificate = try file("tls-certificate", "ORCHESTRATOR_TLS_CERTIFICATE", options.tlsCertificate)
        let key = try file("tls-key", "ORCHESTRATOR_TLS_KEY", options.tlsKey)
        let clientCA = try file("tls-client-ca", "ORCHESTRATOR_TLS_CLIENT_CA", options.tlsClientCA)
        switch (certificate, key) {
        case (let certificate?, let key?): tls = TLSFiles(certificate: certificate, key: key, clientCA: clientCA)
        case (let certificate?, nil):
            throw ValidationError("--tls-certificate: \(certificate.path) needs its key: add --tls-key FILE")
        case (nil, let key?):
            throw ValidationError("--tls-key: \(key.path) needs its certificate: add --tls-certificate FILE")
        case (nil, nil):
            if let clientCA {
                throw ValidationError(
                    "--tls-client-ca: \(clientCA.path) needs TLS: add --tls-certificate FILE and --tls-key FILE")
            }
        }
        tokens = try file("auth-tokens", "ORCHESTRATOR_AUTH_TOKENS", options.authTokens)
        opensProbes = try setting(
            "open-probes", "ORCHESTRATOR_OPEN_PROBES", options.openProbes, "true or false", true, Parse.boolean)
        opensMetrics = try setting(
            "open-metrics", "ORCHESTRATOR_OPEN_METRICS", options.openMetrics, "true or false", http.isLoopback,
            Parse.boolean)
        methodRoles = MethodRoles(
            opensHealth: try setting(
                "open-health", "ORCHESTRATOR_OPEN_HEALTH", options.openHealth, "true or false", true, Parse.boolean),
            opensReflection: try setting(
                "open-reflection", "ORCHESTRATOR_OPEN_REFLECTION", options.openReflection, "true or false", true,
                Parse.boolean))
        rpcLimits = try ServerLimits(options.rpcLimits, environment: environment)
        rpcPolicy = try CallPolicy(options.rpcLimits, environment: environment)
        maxOpenFiles = try setting(
            "max-open-files", "ORCHESTRATOR_MAX_OPEN_FILES", options.maxOpenFiles, "a number from 64 to 1073741816", nil
        ) { Parse.count(64...1_073_741_816)($0).map { UInt64($0) } }
        publishRate = try setting(
            "publish-rate", "ORCHESTRATOR_PUBLISH_RATE", options.publishRate, "a number from 0 to 1000000", 100,
            Parse.count(0...1_000_000))
        slurm = try SlurmConfiguration(options.slurm, environment: environment, dataDirectory: dataDirectory)
        let rule = ListeningRule(
            isEncrypted: tls != nil, knowsCallers: tokens != nil || clientCA != nil, isInsecure: isInsecure)
        for (flag, address) in [("--rpc-listen", rpc), ("--http-listen", http)] {
            if let objection = rule.objection(flag: flag, address: address) { throw ValidationError(objection) }
        }
    }
}
