import Credentials
import Services
import Testing

@Suite struct MethodRolesTests {
    private static let service = "/dspy_orchestrator.v1.Orchestrator/"

    @Test(arguments: ["SubmitJob", "SubmitJobs", "CancelJob", "RequeueJob"])
    func `what changes jobs is for those who submit`(method: String) {
        #expect(MethodRoles().role(for: Self.service + method) == .submit)
    }

    @Test(arguments: ["GetStatus", "ListJobs", "StreamEvents", "StreamLogs", "GetMetrics"])
    func `what tells of jobs is for those who read`(method: String) {
        #expect(MethodRoles().role(for: Self.service + method) == .read)
    }

    @Test(arguments: [
        "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ])
    func `health and reflection are open`(path: String) {
        #expect(MethodRoles().role(for: path) == nil)
    }

    @Test func `health and reflection may each be for those who read`() {
        let health = "/grpc.health.v1.Health/Check"
        let reflection = ["v1", "v1alpha"].map { "/grpc.reflection.\($0).ServerReflection/ServerReflectionInfo" }
        let noHealth = MethodRoles(opensHealth: false)
        #expect(noHealth.role(for: health) == .read)
        for path in reflection { #expect(noHealth.role(for: path) == nil) }
        let noReflection = MethodRoles(opensReflection: false)
        #expect(noReflection.role(for: health) == nil)
        for path in reflection { #expect(noReflection.role(for: path) == .read) }
    }

    @Test(arguments: [
        service + "PurgeJobs", service, "/grpc.channelz.v1.Channelz/GetServers", "", "/grpc.health.v1.HealthX/Check",
    ])
    func `what nobody has decided on is for administrators`(path: String) {
        #expect(MethodRoles().role(for: path) == .admin)
    }
}
