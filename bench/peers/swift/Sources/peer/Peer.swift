import GRPCCore
import GRPCNIOTransportHTTP2Posix
import NIOPosix

/// grpc-swift-2 on its NIO transport. usage: peer PORT
struct Orchestrator: RegistrableRPCService {
    static let name = "dspy_orchestrator.v1.Orchestrator"

    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
        router.registerHandler(
            forMethod: MethodDescriptor(fullyQualifiedService: Self.name, method: "GetStatus"),
            deserializer: RequestDeserializer(), serializer: JobSerializer()
        ) { request, _ in
            _ = try await ServerRequest(stream: request)
            return StreamingServerResponse(single: ServerResponse(message: Job()))
        }
        router.registerHandler(
            forMethod: MethodDescriptor(fullyQualifiedService: Self.name, method: "StreamEvents"),
            deserializer: RequestDeserializer(), serializer: EventSerializer()
        ) { request, _ in
            _ = try await ServerRequest(stream: request)
            return StreamingServerResponse { writer in
                for sequence: UInt64 in 1...10_000 { try await writer.write(Event(sequence: sequence)) }
                return [:]
            }
        }
    }
}

@main
struct Peer {
    static func main() async throws {
        guard CommandLine.arguments.count == 2, let port = Int(CommandLine.arguments[1]) else {
            throw RPCError(code: .invalidArgument, message: "usage: peer PORT")
        }
        let transport = HTTP2ServerTransport.Posix(
            address: .ipv4(host: "127.0.0.1", port: port), transportSecurity: .plaintext,
            eventLoopGroup: MultiThreadedEventLoopGroup(numberOfThreads: 1))
        let server = GRPCServer(transport: transport, services: [Orchestrator()])
        try await server.serve()
    }
}
