import ArgumentParser
import Foundation
import Logging
import Protocol
import RPCServer

/// Serves gRPC's interop tests, for the test clients of gRPC's other implementations. No part of the product.
@main
struct InteropServer: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "InteropServer", abstract: "Serves grpc.testing.TestService, health and reflection.")

    @Option(help: "TCP port on the loopback interface; 0 picks a free one.")
    var port = 0

    // The flag's name is the one that gRPC's test drivers pass.
    @Option(name: .customLong("use_tls"), help: "Only false: this server speaks plain HTTP/2.")
    var usesTLS = false

    func validate() throws {
        guard !usesTLS else { throw ValidationError("--use_tls=true: this server speaks plain HTTP/2; pass false") }
        guard (0...65_535).contains(port) else {
            throw ValidationError("--port: \(port) is no TCP port; pass 0 to 65535")
        }
    }

    func run() async throws {
        let services = [TestService.name, HealthRegistry.serviceName]
        let health = HealthRegistry(services: services)
        let reflection = Reflection(
            services: services, files: DescriptorFile.served + DescriptorFile.testing)
        let server = try await RPCServer.start(
            RPCServer.Configuration(port: port), methods: TestService().methods + health.methods + reflection.methods,
            logger: Logger(label: "interop"))
        // Not `print`, which holds a line back from a pipe.
        try FileHandle.standardOutput.write(contentsOf: Data("ready rpc=\(server.host):\(server.port)\n".utf8))
        // Its test ends it, with a signal.
        while true { try await Task.sleep(for: .seconds(3_600)) }
    }
}
