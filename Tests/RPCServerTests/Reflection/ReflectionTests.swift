import Protocol
import Testing

@testable import RPCServer

struct ReflectionTests {
    private static let orchestrator = "dspy_orchestrator.v1.Orchestrator"
    private static let reflection = Reflection(services: [orchestrator], files: DescriptorFile.served)

    private static func files(_ response: Wire.ServerReflectionResponse) -> [[UInt8]] {
        response.fileDescriptorResponse?.fileDescriptorProto ?? []
    }

    @Test func `services are listed, reflection's own among them`() {
        // As grpcio's client asks: an empty string, and set all the same.
        let response = Self.reflection.answer(.init(host: "here", listServices: ""))
        #expect(
            response.listServicesResponse?.service.map(\.name) == [
                Self.orchestrator, "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection",
            ])
        #expect(response.validHost == "here")
        #expect(response.originalRequest?.listServices == "")
    }

    @Test(arguments: [
        orchestrator, "\(orchestrator).SubmitJob", "dspy_orchestrator.v1.Job", "dspy_orchestrator.v1.Job.job_id",
        "dspy_orchestrator.v1.JobState", "dspy_orchestrator.v1.JOB_STATE_QUEUED",
    ])
    func `a symbol of any kind leads to its file, with all that it imports`(symbol: String) {
        let found = Self.files(Self.reflection.answer(.init(fileContainingSymbol: symbol)))
        let names = [
            "dspy_orchestrator/v1/orchestrator", "protobuf/duration", "protobuf/timestamp", "rpc/status",
            "protobuf/any",
        ]
        #expect(found.count == names.count)
        for name in names {
            // A file's own name is its descriptor's first field.
            #expect(found.contains { String(decoding: $0.prefix(64), as: UTF8.self).contains("\(name).proto") })
        }
    }

    @Test func `a file is found by its name`() {
        let found = Self.files(Self.reflection.answer(.init(fileByFilename: "google/protobuf/any.proto")))
        #expect(found.count == 1)
    }

    @Test(arguments: [
        Wire.ServerReflectionRequest(fileByFilename: "no/such.proto"),
        Wire.ServerReflectionRequest(fileContainingSymbol: "no.Such"),
        Wire.ServerReflectionRequest(
            fileContainingExtension: .init(containingType: "dspy_orchestrator.v1.Job", extensionNumber: 100)),
        Wire.ServerReflectionRequest(allExtensionNumbersOfType: "no.Such"),
    ])
    func `what is not there is an error response`(request: Wire.ServerReflectionRequest) {
        let response = Self.reflection.answer(request)
        #expect(response.errorResponse?.errorCode == 5)
        #expect(response.originalRequest == request)
    }

    @Test func `a message has no extensions`() {
        let response = Self.reflection.answer(.init(allExtensionNumbersOfType: "dspy_orchestrator.v1.Job"))
        #expect(response.allExtensionNumbersResponse == .init(baseTypeName: "dspy_orchestrator.v1.Job"))
    }

    @Test func `a request that asks nothing is told so`() {
        #expect(Self.reflection.answer(.init()).errorResponse?.errorCode == 3)
    }

    @Test(arguments: Reflection.serviceNames)
    func `questions are answered one by one on one stream`(service: String) async throws {
        try await withServer(Self.reflection.methods) { server in
            let client = try HTTP2Client(port: server.port)
            let unknown = Wire.ServerReflectionRequest(fileContainingSymbol: "no.Such")
            let call = client.open("/\(service)/ServerReflectionInfo", body: unknown.framed(), ends: false)
            try client.pump("the first answer") { call.messages.count == 1 }
            client.send(call, Wire.ServerReflectionRequest(listServices: "*").framed(), ends: true)
            try client.pump("the end") { call.isClosed }
            #expect(call.code == .ok)
            let answers = try call.messages.map { try Wire.ServerReflectionResponse(decoding: $0) }
            #expect(answers.map { $0.errorResponse != nil } == [true, false])
            #expect(answers.last?.listServicesResponse?.service.count == 3)
        }
    }

    @Test func `every file names its imports, and they are there`() {
        let names = Set(DescriptorFile.served.map(\.name))
        for file in DescriptorFile.served {
            #expect(names.isSuperset(of: file.imports))
            #expect(!file.packed.isEmpty && !file.symbols.isEmpty)
        }
    }
}
