import Foundation
import Hummingbird
import HummingbirdTesting
import Logging
import Synchronization
import Testing

@testable import Gateway
@testable import Orchestrator

/// The routes over a real ledger in a directory of their own.
final class GatewayFixture: Sendable {
    private struct State {
        var isDraining = false
        var takesJobs = true
        var checks = [HealthCheck(name: "ledger", isHealthy: true)]
        var refusal: OrchestratorError?
    }

    let ledger: Ledger
    let registry: MetricsRegistry
    let logs: JobLogs
    private let metrics: OrchestratorMetrics
    private let activity = RecentActivity()
    private let directory: String
    private let state = Mutex(State())

    private init() throws {
        directory = NSTemporaryDirectory() + "dspy-gateway-" + UUID().uuidString
        ledger = try Ledger.open(
            Ledger.Configuration(directory: directory),
            encoders: Ledger.Encoders(event: { _ in [0] }, job: { _ in [0] }), logger: Logger(label: "test"))
        registry = MetricsRegistry()
        metrics = OrchestratorMetrics(registry: registry)
        metrics.follow(ledger)
        activity.follow(ledger)
        logs = JobLogs(ledger: ledger) { [directory] in
            try AttemptDirectory(jobsDirectory: directory + "/jobs", jobID: $0, attempt: $1)
        }
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    /// Asked to stop, and still serving as before.
    func retire() { state.withLock { $0.isDraining = true } }
    func drain() { state.withLock { ($0.isDraining, $0.takesJobs) = (true, false) } }
    func check(_ checks: HealthCheck...) { state.withLock { $0.checks = checks } }
    func refuse(_ error: OrchestratorError) { state.withLock { $0.refusal = error } }

    func dependencies(isMetricsEnabled: Bool = true) -> GatewayDependencies {
        GatewayDependencies(
            version: "1.2.3", uptime: { .seconds(90) }, registry: registry, isMetricsEnabled: isMetricsEnabled,
            isDraining: { self.state.withLock { $0.isDraining } }, takesJobs: { self.state.withLock { $0.takesJobs } },
            health: { self.state.withLock { $0.checks } },
            submit: { spec in
                if let refusal = self.state.withLock({ $0.refusal }) { throw refusal }
                return try await self.ledger.submit(spec)
            },
            submitMany: { requests in
                await self.ledger.submit(requests: requests) { _ throws(OrchestratorError) in
                    if let refusal = self.state.withLock({ $0.refusal }) { throw refusal }
                }
            },
            cancel: { try await self.ledger.cancel($0, reason: $1, source: JobSource.http.rawValue) },
            requeue: { try await JobRequeue(ledger: self.ledger, slurm: nil)($0, reason: $1) },
            job: { try await self.ledger.job($0) }, list: { try await self.ledger.list($0) },
            queueCounts: { QueueCounts(totals: self.ledger.totals, pendingFiles: 0, refusedFiles: 0) },
            follow: { try await self.ledger.follow($0, encoding: $1) }, logs: logs,
            overview: {
                Overview(
                    lastSequence: self.ledger.events.lastSequence, totals: self.ledger.totals,
                    classes: self.metrics.classStats(), activity: self.activity.recent(at: .now()))
            })
    }

    func server(
        configuration: GatewayConfiguration = GatewayConfiguration(port: 0), isMetricsEnabled: Bool = true,
        onListening: @escaping @Sendable (String, Int) async -> Void = { _, _ in }
    ) -> GatewayServer {
        GatewayServer(
            configuration: configuration, dependencies: dependencies(isMetricsEnabled: isMetricsEnabled),
            logger: Logger(label: "test"), onListening: onListening)
    }

    /// Runs a test against the routes, without a socket unless `testing` says so.
    static func test(
        _ testing: TestingSetup = .router, configuration: GatewayConfiguration = GatewayConfiguration(port: 0),
        isMetricsEnabled: Bool = true,
        _ body: @Sendable (any TestClientProtocol, GatewayFixture) async throws -> Void
    ) async throws {
        let fixture = try GatewayFixture()
        let application = fixture.server(configuration: configuration, isMetricsEnabled: isMetricsEnabled).application()
        try await application.test(testing) { try await body($0, fixture) }
        await fixture.ledger.close()
    }

    static func with(_ body: (GatewayFixture) async throws -> Void) async throws {
        let fixture = try GatewayFixture()
        try await body(fixture)
        await fixture.ledger.close()
    }
}

extension TestClientProtocol {
    func get(_ uri: String, headers: HTTPFields = [:]) async throws -> Answer {
        Answer(try await executeRequest(uri: uri, method: .get, headers: headers, body: nil))
    }

    func send(
        _ method: HTTPRequest.Method, _ uri: String, _ body: String = "", headers: HTTPFields = [:]
    ) async throws -> Answer {
        Answer(try await executeRequest(uri: uri, method: method, headers: headers, body: ByteBuffer(string: body)))
    }
}

/// A response, read.
struct Answer {
    let status: Int
    let headers: HTTPFields
    let text: String

    init(_ response: TestResponse) {
        status = response.status.code
        headers = response.headers
        text = String(buffer: response.body)
    }

    /// The body as a JSON object; empty when it is none.
    var json: [String: Any] {
        (try? JSONSerialization.jsonObject(with: Data(text.utf8))) as? [String: Any] ?? [:]
    }

    /// The refusal's line; the rest of the body is checked to be what every refusal is.
    var error: String? { json["ok"] as? Bool == false && json.count == 2 ? json["error"] as? String : nil }
}
