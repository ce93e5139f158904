import Credentials

/// What a caller needs for each method.
public enum MethodRoles {
    private static let roles: [String: Role] = [
        "SubmitJob": .submit, "SubmitJobs": .submit, "CancelJob": .submit,
        "PublishEvent": .submit,
        "GetStatus": .read, "ListJobs": .read, "StreamEvents": .read, "StreamLogs": .read, "GetMetrics": .read,
    ]
    private static let service = "/dspy_orchestrator.v1.Orchestrator/"
    /// Tells nothing of jobs, and is asked by load balancers and tools before they have a token.
    private static let open = ["/grpc.health.v1.Health/", "/grpc.reflection.v1.", "/grpc.reflection.v1alpha."]

    /// nil is open to all; a method that is not in the table is for administrators until somebody decides otherwise.
    public static func role(for path: String) -> Role? {
        if path.hasPrefix(service) { return roles[String(path.dropFirst(service.count))] ?? .admin }
        return open.contains(where: path.hasPrefix) ? nil : .admin
    }
}
