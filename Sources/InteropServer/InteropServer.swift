import ArgumentParser
import Credentials
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

    // The flags' names are those that gRPC's test drivers pass.
    @Option(name: .customLong("use_tls"), help: "true speaks TLS, with the certificate and key below.")
    var usesTLS = false

    @Option(name: .customLong("tls_cert_file"), help: "PEM file: the server's certificate, then the intermediate ones.")
    var certificate: String?

    @Option(name: .customLong("tls_key_file"), help: "PEM file: its private key.")
    var key: String?

    func validate() throws {
        if usesTLS, certificate == nil || key == nil {
            throw ValidationError("--use_tls=true: needs --tls_cert_file and --tls_key_file")
        }
        guard (0...65_535).contains(port) else {
            throw ValidationError("--port: \(port) is no TCP port; pass 0 to 65535")
        }
    }

    func run() async throws {
        let services = [TestService.name, HealthRegistry.serviceName]
        let health = HealthRegistry(services: services)
        let reflection = Reflection(
            services: services, files: DescriptorFile.served + DescriptorFile.testing)
        var configuration = RPCServer.Configuration(port: port)
        if usesTLS, let certificate, let key {
            let contexts = try TLSContexts(
                TLSFiles(
                    certificate: CredentialFile(certificate, setting: "--tls_cert_file"),
                    key: CredentialFile(key, setting: "--tls_key_file")))
            configuration.tls = { contexts.rpc }
        }
        let server = try await RPCServer.start(
            configuration, methods: TestService().methods + health.methods + reflection.methods,
            logger: Logger(label: "interop"))
        // Not `print`, which holds a line back from a pipe.
        try FileHandle.standardOutput.write(contentsOf: Data("ready rpc=\(server.host):\(server.port)\n".utf8))
        // Its test ends it, with a signal.
        while true { try await Task.sleep(for: .seconds(3_600)) }
    }
}
