import ArgumentParser
import Foundation
import Logging
import Orchestrator
import Programs

/// The runner's command line. What is here is options and wiring; what is done is in the libraries.
@main
struct Main: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dspy-env-runner",
        abstract: "Runs tasks of a file queue, beside other runners and servers on the same directory.",
        discussion: """
            Claims tasks from pending/ as it has places for them, runs them, and leaves their results in done/. Any \
            number of runners and dspy-orchestrator servers may work on one directory. Runs until SIGTERM or SIGINT, then \
            lets what runs end, gives the rest to the others, and exits 0.

            Prints one line once it works: ready http=HOST:PORT
            A flag beats its environment variable; an empty variable counts as absent.
            """,
        version: Version.current)

    @OptionGroup var options: EnvRunnerOptions

    func validate() throws { _ = try EnvRunnerConfiguration(options) }

    func run() async throws {
        let configuration = try EnvRunnerConfiguration(options)
        LoggingSystem.bootstrap { configuration.logFormat.handler(label: $0, level: configuration.logLevel) }
        do {
            try await EnvRunner(configuration, logger: Logger(label: "dspy-env-runner")).run()
        } catch {
            FileHandle.standardError.write(Data("dspy-env-runner: \(error)\n".utf8))
            throw ExitCode.failure
        }
    }
}
