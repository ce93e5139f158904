import Credentials

/// What a caller needs for each method.
public struct MethodRoles: Sendable {
    private static let roles: [String: Role] = [
        "SubmitJob": .submit, "SubmitJobs": .submit, "CancelJob": .submit, "RequeueJob": .submit,
        "PublishEvent": .submit,
        "GetStatus": .read, "ListJobs": .read, "StreamEvents": .read, "StreamLogs": .read, "GetMetrics": .read,
    ]
    private static let service = "/dspy_orchestrator.v1.Orchestrator/"
    private static let health = ["/grpc.health.v1.Health/"]
    private static let reflection = ["/grpc.reflection.v1.", "/grpc.reflection.v1alpha."]

    /// Health tells nothing of jobs, and load balancers ask it without a token. Else it takes the role read. Default
    /// true.
    public var opensHealth = true
    /// Reflection tells what stands in the public .proto, to tools that have no token yet. Else it takes the role read.
    /// Default true.
    public var opensReflection = true

    public init(opensHealth: Bool = true, opensReflection: Bool = true) {
        self.opensHealth = opensHealth
        self.opensReflection = opensReflection
    }

    /// nil is open to all; a method that is not in the table is for administrators until somebody decides otherwise.
    public func role(for path: String) -> Role? {
        if path.hasPrefix(Self.service) {
            return Self.roles[String(path.dropFirst(Self.service.count))] ?? .admin
        }
        if Self.health.contains(where: path.hasPrefix) { return opensHealth ? nil : .read }
        if Self.reflection.contains(where: path.hasPrefix) { return opensReflection ? nil : .read }
        return .admin
    }
}
