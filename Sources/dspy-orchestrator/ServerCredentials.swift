import Credentials
import Gateway
import Logging
import Orchestrator
import ServiceLifecycle

/// The certificates and tokens that the server runs with, both read again when their files change.
struct ServerCredentials: Service {
    let tls: Reloaded<TLSContexts>?
    private let tokens: Reloaded<Authenticator>?
    private let takesAnyCertificate: Bool
    private let refusals = RefusalCounts()

    init(_ configuration: ServeConfiguration, logger: Logger) throws(CredentialsError) {
        if let files = configuration.tls {
            tls = try Reloaded(files.all, logger: logger) { () throws(CredentialsError) in try TLSContexts(files) }
        } else {
            tls = nil
        }
        if let file = configuration.tokens {
            tokens = try Reloaded([file], logger: logger) { [refusals] () throws(CredentialsError) in
                Authenticator(try TokenFile(file), refusals: refusals)
            }
        } else {
            tokens = nil
        }
        takesAnyCertificate = configuration.tls?.clientCA != nil
    }

    /// nil when nobody needs to say who they are.
    var authenticator: (@Sendable () -> Authenticator)? {
        if let tokens { return { @Sendable in tokens.value } }
        return takesAnyCertificate ? { @Sendable [refusals] in Authenticator(nil, refusals: refusals) } : nil
    }

    func health() -> [HealthCheck] {
        [("tls", tls?.failure, tls != nil), ("tokens", tokens?.failure, tokens != nil)].compactMap {
            name, failure, isUsed in
            // The last good ones stay in use, so jobs are still taken.
            isUsed ? HealthCheck(name: name, isHealthy: failure == nil, detail: failure ?? "", isRequired: false) : nil
        }
    }

    func metrics() -> [MetricFamily] {
        let refused = MetricFamily(
            name: "orchestrator_credentials_refused_total",
            help: "Calls and HTTP requests refused because of who sent them, by reason.", kind: .counter,
            samples: CredentialRefusal.allCases.map { refusal in
                MetricSample(
                    labels: [MetricLabel("reason", refusal.rawValue)],
                    value: .number(Double(refusals.total(refusal))))
            })
        guard let tls else { return [refused] }
        return [
            refused,
            MetricFamily(
                name: "orchestrator_tls_certificate_expiry_timestamp_seconds",
                help: "When the server's certificate ends, in seconds since 1970.", kind: .gauge,
                value: Double(tls.value.expiresAt)),
        ]
    }

    /// Looks for changed files until the server stops.
    func run() async throws {
        await withTaskGroup(of: Void.self) { group in
            if let tls { group.addTask { await tls.run() } }
            if let tokens { group.addTask { await tokens.run() } }
            group.addTask { try? await gracefulShutdown() }
            await group.next()
            group.cancelAll()
        }
    }
}
