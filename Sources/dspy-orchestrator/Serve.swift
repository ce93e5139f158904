import ArgumentParser
import Foundation
import Logging
import Orchestrator
import Programs

/// `dspy-orchestrator serve`.
struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Runs the server until SIGTERM or SIGINT, then drains and exits 0.",
        discussion: """
            Prints one line once it accepts calls: ready rpc=HOST:PORT http=HOST:PORT
            A flag beats its environment variable; an empty variable counts as absent.
            """)

    @OptionGroup var options: ServeOptions

    func validate() throws { _ = try ServeConfiguration(options) }

    func run() async throws {
        let configuration = try ServeConfiguration(options)
        LoggingSystem.bootstrap { configuration.logFormat.handler(label: $0, level: configuration.logLevel) }
        do {
            try await Server(configuration, logger: Logger(label: "dspy-orchestrator")).run()
        } catch {
            FileHandle.standardError.write(Data("dspy-orchestrator: \(error)\n".utf8))
            throw ExitCode.failure
        }
    }
}
