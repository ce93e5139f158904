import Protocol
import Testing

@testable import RPCServer

struct HealthTests {
    private static let registry = "/grpc.health.v1.Health"

    private static func statuses(_ call: HTTP2Client.Call) throws -> [Wire.HealthCheckResponse.ServingStatus] {
        try call.messages.map { try Wire.HealthCheckResponse(decoding: $0).status }
    }

    @Test func `Check tells the status of the server and of each service`() async throws {
        let health = HealthRegistry(services: ["a.A", "b.B"])
        health.set("b.B", isServing: false)
        try await withServer(health.methods) { server in
            let client = try HTTP2Client(port: server.port)
            for (service, status) in [("", 1), ("a.A", 1), ("b.B", 2)] {
                let call = try client.call("\(Self.registry)/Check", Wire.HealthCheckRequest(service: service))
                #expect(call.code == .ok)
                #expect(try Self.statuses(call).map(\.rawValue) == [Int32(status)])
            }
        }
    }

    @Test func `Check of a service that is not there is NOT_FOUND and names it`() async throws {
        try await withServer(HealthRegistry(services: []).methods) { server in
            let client = try HTTP2Client(port: server.port)
            let call = try client.call("\(Self.registry)/Check", Wire.HealthCheckRequest(service: "no.Such"))
            #expect(call.code == .notFound)
            #expect(call.message?.contains("no.Such") == true)
        }
    }

    @Test(arguments: ["Check", "Watch"]) func `a name beyond the limit is refused`(method: String) async throws {
        try await withServer(HealthRegistry(services: []).methods) { server in
            let client = try HTTP2Client(port: server.port)
            let name = String(repeating: "x", count: HealthRegistry.longestName + 1)
            let call = try client.call("\(Self.registry)/\(method)", Wire.HealthCheckRequest(service: name))
            #expect(call.code == .invalidArgument)
        }
    }

    @Test func `Watch tells the status at once and at each change, and nothing twice`() async throws {
        let health = HealthRegistry(services: ["a.A"])
        try await withServer(health.methods) { server in
            let client = try HTTP2Client(port: server.port)
            let call = client.open(
                "\(Self.registry)/Watch", body: Wire.HealthCheckRequest(service: "a.A").framed())
            try client.pump("the status now") { (try? Self.statuses(call)) == [.serving] }
            health.set("a.A", isServing: true)
            health.set("", isServing: false)
            health.set("a.A", isServing: false)
            try client.pump("the change") { call.messages.count > 1 }
            #expect(try Self.statuses(call) == [.serving, .notServing])
        }
    }

    @Test func `Watch of a service that is not there says so, and tells when it comes`() async throws {
        let health = HealthRegistry(services: [])
        try await withServer(health.methods) { server in
            let client = try HTTP2Client(port: server.port)
            let call = client.open(
                "\(Self.registry)/Watch", body: Wire.HealthCheckRequest(service: "late.One").framed())
            try client.pump("the status now") { (try? Self.statuses(call)) == [.serviceUnknown] }
            health.set("late.One", isServing: true)
            try client.pump("the change") { call.messages.count > 1 }
            #expect(try Self.statuses(call) == [.serviceUnknown, .serving])
        }
    }

    @Test func `draining turns everything to NOT_SERVING for good, and those who watch are told`() async throws {
        let health = HealthRegistry(services: ["a.A"])
        try await withServer(health.methods) { server in
            let client = try HTTP2Client(port: server.port)
            let watch = client.open("\(Self.registry)/Watch", body: Wire.HealthCheckRequest().framed())
            try client.pump("the status now") { watch.messages.count == 1 }
            health.drain()
            health.set("a.A", isServing: true)
            try client.pump("the change") { watch.messages.count == 2 }
            #expect(try Self.statuses(watch) == [.serving, .notServing])
            let list = try client.call("\(Self.registry)/List", Wire.HealthListRequest())
            let listed = try Wire.HealthListResponse(decoding: try #require(list.messages.first))
            #expect(listed.statuses.mapValues(\.status) == ["": .notServing, "a.A": .notServing])
        }
    }

    @Test func `a Watch that is over leaves nothing behind`() async throws {
        let health = HealthRegistry(services: [])
        try await withServer(health.methods) { server in
            let client = try HTTP2Client(port: server.port)
            let call = client.open("\(Self.registry)/Watch", body: Wire.HealthCheckRequest().framed())
            try client.pump("the status now") { call.messages.count == 1 }
            #expect(health.watchCount == 1)
            client.reset(call)
            try client.ping()
            #expect(health.watchCount == 0)
        }
    }

    @Test func `a status may be read a byte at a time`() throws {
        let watch = HealthWatch(of: "", in: HealthRegistry(services: []))
        var bytes: [UInt8] = []
        withUnsafeTemporaryAllocation(byteCount: 1, alignment: 1) { room in
            while case .bytes(let count) = watch.read(into: room) { bytes += room[..<count] }
        }
        #expect(bytes == Wire.HealthCheckResponse(status: .serving).framed())
    }
}
