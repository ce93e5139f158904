import Foundation
import Gateway
import Logging
import Orchestrator
import Programs
import ServiceLifecycle
import Synchronization
import UnixSignals

/// The parts put together. What happens at the end, in this order, is the reverse of `services` in `run`: nothing more is
/// claimed, what runs ends or is stopped, done files are written and the other claims let go, HTTP stops, the ledger
/// closes.
struct EnvRunner {
    private let configuration: EnvRunnerConfiguration
    private let logger: Logger

    init(_ configuration: EnvRunnerConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    func run() async throws {
        let startedAt = ContinuousClock.now
        let openFiles = try OpenFiles.raise(to: nil)
        try UsableDirectory.require(configuration.dataDirectory, setting: "--data-dir", isPrivate: true)
        let jobsDirectory = configuration.dataDirectory + "/jobs"
        var ledgerConfiguration = Ledger.Configuration(directory: configuration.dataDirectory)
        ledgerConfiguration.retention = configuration.retention
        configuration.caches.apply(to: &ledgerConfiguration)
        ledgerConfiguration.removeOutputs = { [logger] in
            AttemptOutput.remove(of: $0, in: jobsDirectory, logger: logger, metadata: $1)
        }
        // Nobody asks for what only the RPC front would send.
        let nothing = Ledger.Encoders(event: { _ in [] }, job: { _ in [] })
        let ledger = try Ledger.open(ledgerConfiguration, encoders: nothing, logger: logger)

        let environment = ProcessInfo.processInfo.environment
        var runnerConfiguration = RunnerConfiguration(
            jobsDirectory: jobsDirectory, supervisorPath: configuration.supervisor, openFiles: openFiles.before)
        runnerConfiguration.apply(configuration.runner, path: environment["PATH"] ?? "")
        // Another runner may start the same tasks as soon as this one's lease is over.
        runnerConfiguration.endsWithServer = true
        let gpus = runnerConfiguration.gpus.count
        let runner = try Runner(configuration: runnerConfiguration, serverEnvironment: environment, logger: logger)
        let classes = configuration.classes ?? (gpus > 0 ? [.cpuShort, .cpuLong, .gpu] : [.cpuShort, .cpuLong])
        let scheduler = Scheduler(
            limits: limits(gpus: gpus), ledger: ledger, runner: runner, givesBack: true, logger: logger)

        var queueConfiguration = FileQueueConfiguration(
            directory: configuration.queueDirectory, ownerFile: configuration.dataDirectory + "/queue-owner",
            lease: configuration.queueLease, lostAfter: configuration.queueLost)
        queueConfiguration.classes = classes
        queueConfiguration.claimsOnlyRoom = true
        queueConfiguration.lendsWhenStopped = true
        let fileQueue = FileQueue(
            configuration: queueConfiguration, ledger: ledger, logger: logger,
            check: { spec throws(OrchestratorError) in try runner.validate(spec) }, loads: { scheduler.loads })
        scheduler.follow(fileQueue)
        try fileQueue.prepare(setting: "--queue-dir")

        let gpuUtilization = GPUUtilization(path: environment["PATH"] ?? "", isMeasured: gpus > 0)
        let registry = MetricsRegistry()
        let metrics = RunnerMetrics(
            registry, classes: classes, queueDepth: { fileQueue.counts.pending },
            gpuUtilization: { gpuUtilization.newest })
        metrics.follow(ledger)
        let loads = OrchestratorMetrics(registry: registry)
        loads.follow(ledger)
        loads.follow(scheduler)
        registry.collector { ProcessMetrics.families() + [ProcessMetrics.buildInfo(version: Version.current)] }

        let claiming = ClaimingService(queue: fileQueue)
        var gatewayConfiguration = GatewayConfiguration(
            host: configuration.http.host, port: configuration.http.port)
        gatewayConfiguration.maxConnections = 64
        let gateway = GatewayServer(
            configuration: gatewayConfiguration,
            runner: RunnerDependencies(
                version: Version.current, uptime: { ContinuousClock.now - startedAt }, registry: registry,
                isMetricsEnabled: configuration.isMetricsEnabled, isDraining: { claiming.isStopped },
                health: {
                    let failure = ledger.writeFailure
                    return [HealthCheck(name: "ledger", isHealthy: failure == nil, detail: failure ?? "")]
                },
                summary: { metrics.summary }),
            logger: logger
        ) { host, port in
            let ready = "ready http=\(ListenAddress(host: host, port: port).text)\n"
            try? FileHandle.standardOutput.write(contentsOf: Data(ready.utf8))
        }
        // It holds the counters that the scrapes read.
        defer { withExtendedLifetime(loads) {} }
        try await ServiceGroup(
            services: [
                LedgerService(ledger: ledger), gpuUtilization, gateway, FileQueueService(queue: fileQueue),
                SchedulerService(
                    scheduler: scheduler, grace: configuration.shutdownGrace, queue: fileQueue, patience: nil),
                claiming,
            ],
            gracefulShutdownSignals: [.sigterm, .sigint], logger: quiet(logger)
        ).run()
    }

    private func limits(gpus: Int) -> ConcurrencyLimits {
        var limits = ConcurrencyLimits(byClass: configuration.limits, adaptive: configuration.runner.concurrency)
        if gpus > 0, !configuration.isGPULimitGiven, configuration.runner.concurrency[.gpu] == nil {
            limits.byClass[.gpu] = gpus
        }
        return limits
    }

    /// The group tells each service's start and stop at info.
    private func quiet(_ logger: Logger) -> Logger {
        var logger = logger
        logger.logLevel = max(logger.logLevel, .notice)
        return logger
    }
}

/// First to stop, so that nothing is claimed while the rest winds up. Without the delay that the server may have: nobody
/// sends tasks to a runner, and what it leaves in pending/ another takes at once.
private final class ClaimingService: Service {
    private let queue: FileQueue
    private let stopped = Atomic<Bool>(false)

    init(queue: FileQueue) { self.queue = queue }

    var isStopped: Bool { stopped.load(ordering: .relaxed) }

    func run() async throws {
        try? await gracefulShutdown()
        stopped.store(true, ordering: .relaxed)
        await queue.stopClaiming()
    }
}

/// How busy the GPUs are, asked now and then, as asking takes longer than a scrape should.
private final class GPUUtilization: Service {
    private let path: String
    private let isMeasured: Bool
    private let reading = Mutex<Double?>(nil)

    /// - Parameter isMeasured: whether there is anything to ask about.
    init(path: String, isMeasured: Bool) {
        self.path = path
        self.isMeasured = isMeasured
    }

    /// From 0 to 1; nil where nobody can tell.
    var newest: Double? { reading.withLock { $0 } }

    func run() async throws {
        guard isMeasured else {
            try? await gracefulShutdown()
            return
        }
        try? await cancelWhenGracefulShutdown { [self] in
            while true {
                let share = await Task.detached { [path] in GPUDevices.utilization(path: path) }.value
                reading.withLock { $0 = share }
                try await Task.sleep(for: .seconds(5))
            }
        }
    }
}
