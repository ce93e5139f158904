import Credentials
import EventSinks
import Foundation
import Gateway
import Logging
import Orchestrator
import Programs
import Protocol
import RPCServer
import ServiceLifecycle
import Services
import UnixSignals

/// The parts put together. What happens at the end, in this order, is the reverse of `services` in `run`: not ready any
/// more, no new jobs, running ones end or are stopped, their done files are written, streams end with a hint to resume,
/// HTTP stops, sinks catch up, the ledger closes.
struct Server {
    private let configuration: ServeConfiguration
    private let logger: Logger

    init(_ configuration: ServeConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    func run() async throws {
        let startedAt = ContinuousClock.now
        let openFiles = try OpenFiles.raise(to: configuration.maxOpenFiles)
        if let shortage = OpenFiles.shortage(openFiles, connections: configuration.rpcLimits.maxConnections) {
            logger.warning("\(shortage)")
        }
        let credentials = try ServerCredentials(configuration, logger: logger)
        try UsableDirectory.require(configuration.dataDirectory, setting: "--data-dir", isPrivate: true)
        try UsableDirectory.require(configuration.logDirectory, setting: "--log-dir")
        let jobsDirectory = configuration.dataDirectory + "/jobs"
        var ledgerConfiguration = Ledger.Configuration(directory: configuration.dataDirectory)
        ledgerConfiguration.acceptsSlurm = configuration.slurm != nil
        ledgerConfiguration.retention = configuration.retention
        configuration.caches.apply(to: &ledgerConfiguration)
        let outputDirectories = Set([jobsDirectory, configuration.slurm?.jobsDirectory ?? jobsDirectory])
        ledgerConfiguration.removeOutputs = { [logger] jobs, metadata in
            for directory in outputDirectories {
                AttemptOutput.remove(of: jobs, in: directory, logger: logger, metadata: metadata)
            }
        }
        let ledger = try Ledger.open(ledgerConfiguration, encoders: WireImages.encoders, logger: logger)
        let runnerConfiguration = runnerConfiguration(jobsDirectory: jobsDirectory, openFiles: openFiles.before)
        let runner = try Runner(
            configuration: runnerConfiguration, serverEnvironment: ProcessInfo.processInfo.environment, logger: logger)
        var limits = ConcurrencyLimits(byClass: configuration.limits, adaptive: configuration.runner.concurrency)
        let gpus = runnerConfiguration.gpus.count
        if gpus > 0, !configuration.isGPULimitGiven, configuration.runner.concurrency[.gpu] == nil {
            limits.byClass[.gpu] = gpus
        }
        let scheduler = Scheduler(limits: limits, ledger: ledger, runner: runner, logger: logger)
        let metrics = OrchestratorMetrics()
        metrics.follow(ledger)
        metrics.follow(scheduler)
        let slurm = try configuration.slurm.map { slurm throws(OrchestratorError) in
            try SlurmBridge(
                slurm, ledger: ledger, metrics: SlurmMetrics(metrics),
                serverEnvironment: ProcessInfo.processInfo.environment, logger: logger)
        }
        let requeue = JobRequeue(ledger: ledger, slurm: slurm)
        let admission = Admission(slurm: slurm) { spec throws(OrchestratorError) in try runner.validate(spec) }
        let fileQueue = FileQueue(
            configuration: FileQueueConfiguration(
                directory: configuration.queueDirectory, ownerFile: configuration.dataDirectory + "/queue-owner",
                lease: configuration.queueLease, lostAfter: configuration.queueLost),
            ledger: ledger, logger: logger,
            check: { spec throws(OrchestratorError) in try admission.check(spec) }, loads: { scheduler.loads })
        scheduler.follow(fileQueue)
        try fileQueue.prepare(setting: "--queue-dir")
        let logs = JobLogs(ledger: ledger) { id, attempt in
            // One that left the memory may have been either's; both keep to their own directories.
            if let slurm, ledger.cachedJob(id)?.jobClass ?? .gpuSlurm == .gpuSlurm {
                let directory = try slurm.directory(jobID: id, attempt: attempt)
                if directory.exists { return directory }
            }
            return try runner.directory(jobID: id, attempt: attempt)
        }
        let activity = RecentActivity()
        activity.follow(ledger)
        EventTrace(logger: logger).follow(ledger)
        metrics.registry.collector { ProcessMetrics.families() + [ProcessMetrics.buildInfo(version: Version.current)] }
        let sinks = try eventSinks().map {
            SinkRunner(sink: $0, feed: EventFeed(ledger), metrics: metrics.sinks, logger: logger)
        }

        let service = OrchestratorService(
            ledger: ledger, logs: logs, metrics: metrics, version: Version.current, logger: logger,
            publishedPerSecond: configuration.publishRate,
            requeue: { try await requeue($0, reason: $1) },
            admit: { spec throws(OrchestratorError) in try admission.admit(spec) })
        let health = HealthRegistry(services: [OrchestratorService.name])
        let reflection = Reflection(
            services: [OrchestratorService.name, HealthRegistry.serviceName], files: DescriptorFile.served)
        let rpc = try await listen(service.methods + health.methods + reflection.methods, credentials)
        metrics.registry.collector {
            CallMetrics.families(rpc.statistics()) + ConnectionMetrics.families(rpc.connectionStatistics())
        }
        _ = ledger.events.addWaker { rpc.wakeStreams() }

        metrics.registry.collector { credentials.metrics() }
        metrics.registry.collector {
            [
                MetricFamily(
                    name: "orchestrator_log_followers", help: "Readers that follow a job's output now.", kind: .gauge,
                    value: Double(logs.followers))
            ]
        }

        let checks: @Sendable () -> [HealthCheck] = {
            Self.health(ledger) + sinks.map { Self.health($0.sink.name, $0.status) } + Self.health(slurm)
                + credentials.health()
        }
        metrics.registry.collector { [Self.family(checks())] }

        let gateway = GatewayServer(
            configuration: gatewayConfiguration(credentials),
            dependencies: GatewayDependencies(
                version: Version.current, uptime: { ContinuousClock.now - startedAt }, registry: metrics.registry,
                isMetricsEnabled: configuration.isMetricsEnabled, isDraining: { admission.isEnding },
                takesJobs: { !admission.isClosed },
                health: { checks() },
                submit: { spec in
                    try admission.admit(spec)
                    return try await ledger.submit(spec)
                },
                submitMany: { requests in
                    await ledger.submit(requests: requests) { spec throws(OrchestratorError) in
                        try admission.admit(spec)
                    }
                },
                cancel: { try await ledger.cancel($0, reason: $1, source: JobSource.http.rawValue) },
                requeue: { try await requeue($0, reason: $1) },
                job: { try await ledger.job($0) }, list: { try await ledger.list($0) },
                queueCounts: { fileQueue.counts },
                follow: { try await ledger.follow($0, encoding: $1) }, logs: logs,
                overview: {
                    Overview(
                        lastSequence: ledger.events.lastSequence, totals: ledger.totals,
                        classes: metrics.classStats(), activity: activity.recent(at: .now()))
                }, slurm: Self.gateway(slurm, ledger)),
            logger: logger
        ) { host, port in
            let http = ListenAddress(host: host, port: port).text
            let ready = "ready rpc=\(ListenAddress(host: rpc.host, port: rpc.port).text) http=\(http)\n"
            try? FileHandle.standardOutput.write(contentsOf: Data(ready.utf8))
        }

        var services: [any Service] = [
            LedgerService(ledger: ledger), SinkServices(runners: sinks), credentials, gateway,
            RPCService(server: rpc, grace: .seconds(5)), FileQueueService(queue: fileQueue),
            SchedulerService(
                scheduler: scheduler, grace: configuration.shutdownGrace, queue: fileQueue, patience: .seconds(5)),
        ]
        if let slurm { services.append(SlurmService(bridge: slurm)) }
        services += [
            AdmissionService(admission: admission, health: health, delay: configuration.drainDelay)
        ]
        if configuration.isDemo { services.append(DemoService(ledger: ledger, logger: logger)) }
        try await ServiceGroup(
            services: services, gracefulShutdownSignals: [.sigterm, .sigint], logger: quiet(logger)
        ).run()
    }

    private func listen(_ methods: [RPCMethod], _ credentials: ServerCredentials) async throws -> RPCServer {
        var rpc = RPCServer.Configuration(
            host: configuration.rpc.host, port: configuration.rpc.port, limits: configuration.rpcLimits,
            loops: configuration.rpcThreads)
        rpc.policy = configuration.rpcPolicy
        if let tls = credentials.tls { rpc.tls = { tls.value.rpc } }
        // First, so that it also logs what is refused after it.
        if configuration.logsCalls { rpc.policy.interceptors.append(AccessLog(logger: logger)) }
        if let authenticator = credentials.authenticator {
            rpc.policy.interceptors.append(
                AuthenticationInterceptor(
                    authenticator: authenticator, role: configuration.methodRoles.role(for:), logger: logger))
        }
        do {
            return try await RPCServer.start(rpc, methods: methods, logger: logger)
        } catch {
            throw OrchestratorError(
                .unavailable,
                "--rpc-listen: can't listen on \(configuration.rpc.text): \(error); stop the program that holds it, or "
                    + "choose another address (port 0 picks a free one)")
        }
    }

    private func runnerConfiguration(jobsDirectory: String, openFiles: UInt64?) -> RunnerConfiguration {
        var runner = RunnerConfiguration(
            jobsDirectory: jobsDirectory, supervisorPath: configuration.supervisor, openFiles: openFiles)
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        runner.apply(configuration.runner, path: path)
        return runner
    }

    private func gatewayConfiguration(_ credentials: ServerCredentials) -> GatewayConfiguration {
        var gateway = GatewayConfiguration(host: configuration.http.host, port: configuration.http.port)
        if let tls = credentials.tls { gateway.tls = { tls.value.http } }
        if let authenticator = credentials.authenticator {
            var access = GatewayAccess(authenticator: authenticator)
            access.opensProbes = configuration.opensProbes
            access.opensMetrics = configuration.opensMetrics
            gateway.access = access
        }
        return gateway
    }

    private func eventSinks() throws -> [any EventSink] {
        var sinks: [any EventSink] = [
            JSONLSink(directory: configuration.logDirectory, rotation: configuration.sinks.rotation)
        ]
        if let kafka = configuration.sinks.kafka { sinks.append(try KafkaSink(kafka, logger: logger)) }
        if let redDB = configuration.sinks.redDB { sinks.append(RedDBSink(redDB, logger: logger)) }
        return sinks
    }

    private static func family(_ checks: [HealthCheck]) -> MetricFamily {
        MetricFamily(
            name: "orchestrator_health_check", help: "The checks of /health: 1 is healthy, 0 is not.", kind: .gauge,
            samples: checks.map {
                MetricSample(labels: [MetricLabel("check", $0.name)], value: .number($0.isHealthy ? 1 : 0))
            })
    }

    private static func health(_ ledger: Ledger) -> [HealthCheck] {
        let failure = ledger.writeFailure
        return [HealthCheck(name: "ledger", isHealthy: failure == nil, detail: failure ?? "")]
    }

    private static func health(_ sink: String, _ status: SinkStatus) -> HealthCheck {
        let refusal = status.refusal.map { "it refused event \($0.sequence) (\($0.reason.rawValue)): \($0.detail)" }
        return HealthCheck(
            name: "sink_\(sink)", isHealthy: status.error == nil, detail: status.error ?? refusal ?? "",
            isRequired: false)
    }

    /// Slurm being away holds up only what is for Slurm.
    private static func health(_ slurm: SlurmBridge?) -> [HealthCheck] {
        slurm.map { bridge in
            let outage = bridge.outageReason
            return [
                HealthCheck(
                    name: "slurm", isHealthy: outage == nil,
                    detail: outage.map { "Slurm can't be reached: \($0)" } ?? "",
                    isRequired: false)
            ]
        } ?? []
    }

    private static func gateway(_ slurm: SlurmBridge?, _ ledger: Ledger) -> SlurmDependencies? {
        slurm.map { bridge in
            SlurmDependencies(
                submission: { await bridge.submission(of: $0, within: $1) },
                job: { try await ledger.job(slurmJobID: $0) })
        }
    }

    /// The group tells each service's start and stop at info.
    private func quiet(_ logger: Logger) -> Logger {
        var logger = logger
        logger.logLevel = max(logger.logLevel, .notice)
        return logger
    }
}
