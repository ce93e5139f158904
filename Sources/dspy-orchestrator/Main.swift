import ArgumentParser
import Programs

/// The server's command line. What is here is options and wiring; what is done is in the libraries.
@main
struct Main: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dspy-orchestrator",
        abstract: "Takes jobs from DSPy agents, keeps them safe, runs them, and tells what happens as it happens.",
        version: Version.current, subcommands: [Serve.self, Config.self])
}
