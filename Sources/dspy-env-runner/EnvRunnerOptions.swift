import ArgumentParser
import Foundation
import Logging
import Orchestrator
import Programs

/// The flags of the runner. Each has an environment variable; the flag beats it.
struct EnvRunnerOptions: ParsableArguments {
    @Option(
        help:
            "The file queue's directory, with pending/, claimed/, done/ and failed/. (env: ENV_QUEUE_DIR; default: logs/env_queue)"
    )
    var queueDir: String?

    @Option(
        help:
            "Where the runner keeps its ledger and the tasks' files: a directory of its own, which no other runner has. Kept over a restart it knows its tasks again. (env: ENV_RUNNER_DATA_DIR; default: data/env-runner)"
    )
    var dataDir: String?

    @Option(
        name: .customLong("http-listen"),
        help:
            "Where the numbers and probes are, HOST:PORT; port 0 picks a free one. (env: ENV_RUNNER_HTTP_LISTEN, or METRICS_PORT for the port alone; default: 127.0.0.1:8080)"
    )
    var httpListen: String?

    @Option(
        help: "false answers 404 on /metrics and /prometheus. (env: METRICS_ENABLED; default: true)")
    var metricsEnabled: String?

    @Option(
        help:
            "Classes of tasks to run, with commas between. (env: ENV_RUNNER_CLASSES; default: cpu_short,cpu_long, and gpu where there are GPUs)"
    )
    var classes: String?

    @Option(
        help:
            "A YAML file with these settings in its section env_runner, with handlers, and with the limits, sandbox, GPUs and concurrency of jobs; see Documentation/runner.md. (env: ORCHESTRATOR_CONFIG; default: none)"
    )
    var config: String?

    @Option(
        help:
            "Tasks of class cpu_short running at once. (env: ENV_RUNNER_CPU_SHORT_LIMIT; default: twice the processors)"
    )
    var cpuShortLimit: String?

    @Option(help: "Tasks of class cpu_long running at once. (env: ENV_RUNNER_CPU_LONG_LIMIT; default: the processors)")
    var cpuLongLimit: String?

    @Option(
        help: "Tasks of class gpu running at once. (env: ENV_RUNNER_GPU_LIMIT; default: one for each GPU, else 1)")
    var gpuLimit: String?

    @Option(
        help:
            "Seconds without a sign of life from this runner after which another one may take over what it has claimed; 2 to 86400. (env: ORCHESTRATOR_QUEUE_LEASE_SECONDS; default: 30)"
    )
    var queueLeaseSeconds: String?

    @Option(
        help:
            "Seconds that a task which another one took over may be nowhere in the queue directory before its job is LOST here; 1 to 86400. (env: ORCHESTRATOR_QUEUE_LOST_SECONDS; default: 300)"
    )
    var queueLostSeconds: String?

    @Option(
        help:
            "The program dspy-job-supervisor, of which each running task has one. (env: ORCHESTRATOR_SUPERVISOR; default: beside this program)"
    )
    var supervisor: String?

    @Option(
        help:
            "Seconds that running tasks have to end after SIGTERM; then they are stopped, for others to start again. (env: ENV_RUNNER_SHUTDOWN_GRACE_SECONDS; default: 20)"
    )
    var shutdownGraceSeconds: String?

    @Option(
        help:
            "trace, debug, info, notice, warning, error or critical, on standard error. (env: ENV_RUNNER_LOG_LEVEL; default: info)"
    )
    var logLevel: String?

    @Option(
        help:
            "text, or json: one object a line with time, level, logger, message and what else there is to say. (env: ENV_RUNNER_LOG_FORMAT; default: text)"
    )
    var logFormat: String?

    @OptionGroup var retention: RetentionOptions

    @OptionGroup var caches: CacheOptions
}

/// What the runner was told, checked.
struct EnvRunnerConfiguration {
    var queueDirectory: String
    var dataDirectory: String
    var http: ListenAddress
    var isMetricsEnabled: Bool
    /// nil depends on the GPUs there are.
    var classes: Set<JobClass>?
    var runner: RunnerSettings
    var limits: [JobClass: Int]
    /// Otherwise it follows the number of devices.
    var isGPULimitGiven: Bool
    var queueLease: Duration
    var queueLost: Duration
    /// nil looks beside the runner's own executable.
    var supervisor: String?
    var shutdownGrace: Duration
    var logLevel: Logger.Level
    var logFormat: LogFormat
    var retention: Retention
    var caches: CacheSizes

    /// - Throws: `ValidationError` that names the flag, the value and what is expected.
    init(
        _ options: EnvRunnerOptions, environment variables: [String: String] = ProcessInfo.processInfo.environment
    ) throws {
        let file = try ConfigurationFile(
            path: options.config ?? variables["ORCHESTRATOR_CONFIG"], section: \.envRunner, named: "env_runner",
            known: KnownSetting.all(help: EnvRunnerOptions.helpMessage(columns: 100_000)), environment: variables)
        runner = file.runner
        let environment = file.environment
        let processors = ProcessInfo.processInfo.activeProcessorCount
        func setting<Value>(
            _ flag: String, _ variable: String, _ given: String?, _ expected: String, _ fallback: Value,
            _ parse: @escaping (String) -> Value?
        ) throws -> Value {
            try Setting(flag: "--\(flag)", variable: variable, parse: parse, expected: expected)
                .value(given, environment: environment, default: fallback)
        }
        queueDirectory = try setting(
            "queue-dir", "ENV_QUEUE_DIR", options.queueDir, "a path", "logs/env_queue", Parse.path)
        dataDirectory = try setting(
            "data-dir", "ENV_RUNNER_DATA_DIR", options.dataDir, "a path", "data/env-runner", Parse.path)
        let port = try setting(
            "http-listen", "METRICS_PORT", nil, "a port from 0 to 65535", 8080, Parse.count(0...65_535))
        http = try setting(
            "http-listen", "ENV_RUNNER_HTTP_LISTEN", options.httpListen, "HOST:PORT, such as 127.0.0.1:8080",
            ListenAddress(host: "127.0.0.1", port: port), Parse.address)
        isMetricsEnabled = try setting(
            "metrics-enabled", "METRICS_ENABLED", options.metricsEnabled, "true or false", true, Parse.boolean)
        classes = try setting(
            "classes", "ENV_RUNNER_CLASSES", options.classes, "cpu_short, cpu_long and gpu with commas between", nil
        ) { Self.classes($0).map { $0 as Set<JobClass>? } }
        let number = "a number from 1 to 100000"
        let many = Parse.count(1...100_000)
        limits = [
            .cpuShort: try setting(
                "cpu-short-limit", "ENV_RUNNER_CPU_SHORT_LIMIT", options.cpuShortLimit, number, processors * 2, many),
            .cpuLong: try setting(
                "cpu-long-limit", "ENV_RUNNER_CPU_LONG_LIMIT", options.cpuLongLimit, number, processors, many),
            .gpu: try setting("gpu-limit", "ENV_RUNNER_GPU_LIMIT", options.gpuLimit, number, 1, many),
        ]
        isGPULimitGiven = options.gpuLimit != nil || environment["ENV_RUNNER_GPU_LIMIT"]?.isEmpty == false
        queueLease = .seconds(
            try setting(
                "queue-lease-seconds", "ORCHESTRATOR_QUEUE_LEASE_SECONDS", options.queueLeaseSeconds,
                "a whole number of seconds from 2 to 86400", 30, Parse.count(2...86_400)))
        queueLost = .seconds(
            try setting(
                "queue-lost-seconds", "ORCHESTRATOR_QUEUE_LOST_SECONDS", options.queueLostSeconds,
                "a whole number of seconds from 1 to 86400", 300, Parse.count(1...86_400)))
        supervisor = try setting("supervisor", "ORCHESTRATOR_SUPERVISOR", options.supervisor, "a path", nil) {
            Parse.path($0).map { $0 as String? }
        }
        shutdownGrace = try setting(
            "shutdown-grace-seconds", "ENV_RUNNER_SHUTDOWN_GRACE_SECONDS", options.shutdownGraceSeconds,
            "a number of seconds from 0 to 86400", .seconds(20), Parse.seconds(0...86_400))
        logLevel = try setting(
            "log-level", "ENV_RUNNER_LOG_LEVEL", options.logLevel,
            "one of trace, debug, info, notice, warning, error, critical", .info
        ) { Logger.Level(rawValue: $0.lowercased()) }
        logFormat = try setting(
            "log-format", "ENV_RUNNER_LOG_FORMAT", options.logFormat, "text or json", .text
        ) { LogFormat(rawValue: $0.lowercased()) }
        retention = try Retention(options.retention, environment: environment)
        caches = try CacheSizes(options.caches, environment: environment)
    }

    private static func classes(_ text: String) -> Set<JobClass>? {
        let words = text.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
        let classes = words.compactMap { JobClass(word: $0) }.filter(\.isLocal)
        return classes.isEmpty || classes.count < words.count ? nil : Set(classes)
    }
}
