import ArgumentParser
import Foundation
import Orchestrator
import Programs

/// `dspy-orchestrator config`: about the configuration file, without starting anything.
struct Config: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Checks, shows and explains the configuration file.",
        subcommands: [Check.self, Show.self, Example.self])

    struct File: ParsableArguments {
        @Argument(help: "The file. (env: ORCHESTRATOR_CONFIG)")
        var path: String?

        /// - Throws: `ValidationError` that says what is wrong with it.
        func read(needed: Bool) throws -> (path: String?, options: ServeOptions) {
            let path =
                path ?? ProcessInfo.processInfo.environment["ORCHESTRATOR_CONFIG"].flatMap { $0.isEmpty ? nil : $0 }
            if needed, path == nil { throw ValidationError("name a file, or set ORCHESTRATOR_CONFIG") }
            return (path, try ServeOptions.parse(path.map { ["--config", $0] } ?? []))
        }
    }

    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Says whether the server would start with this file and this environment, or what is wrong.")

        @OptionGroup var file: File

        func run() throws {
            let (path, options) = try file.read(needed: true)
            _ = try ServeConfiguration(options)
            print("\(path ?? ""): good")
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Shows every setting that the server would run with, and where it is from. Secrets are hidden.")

        @OptionGroup var file: File

        func run() throws {
            let (_, options) = try file.read(needed: false)
            _ = try ServeConfiguration(options)
            let sources = try options.configurationFile()
            var text = "server:\n"
            for setting in KnownSetting.served {
                if let (value, source) = sources.value(of: setting) {
                    text += "  \(setting.key): \(Self.yaml(value))  # \(source)\n"
                } else {
                    text += "  # \(setting.key): \(setting.standard ?? "not set")\n"
                }
            }
            print(text + sources.shownRunner, terminator: "")
        }

        private static func yaml(_ value: String) -> String {
            if value.wholeMatch(of: /[A-Za-z0-9_.\/:+-]+/) != nil, value.last != ":" { return value }
            return "\"" + value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
        }
    }

    struct Example: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Writes the section `server` with every setting, its default and what it does.")

        func run() throws {
            var text = """
                # The flags of `dspy-orchestrator serve`, with _ for -. A flag beats its environment variable, and that beats this
                # file. Each line shows the default, in words where it depends on the machine.
                server:

                """
            for setting in KnownSetting.served where setting.flag != "config" {
                let lines = Self.wrapped(setting.help + " (\(setting.variables.joined(separator: ", ")))")
                text += lines.map { "  # \($0)\n" }.joined()
                text += "  #\(setting.key): \(setting.standard ?? "")".trimmingSuffix(" ") + "\n\n"
            }
            print(text, terminator: "")
        }

        /// At most 116 characters a line.
        private static func wrapped(_ text: String) -> [String] {
            text.split(separator: " ").reduce(into: [String]()) { lines, word in
                if let last = lines.last, last.count + word.count < 116 {
                    lines[lines.count - 1] += " " + word
                } else {
                    lines.append(String(word))
                }
            }
        }
    }
}

extension KnownSetting {
    /// Those of `serve`.
    static var served: [KnownSetting] { all(help: ServeOptions.helpMessage(columns: 100_000)) }
}

extension ServeOptions {
    /// The file that the flag or its variable names, over the environment.
    func configurationFile(
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws -> ConfigurationFile {
        let variable = environment["ORCHESTRATOR_CONFIG"].flatMap { $0.isEmpty ? nil : $0 }
        return try ConfigurationFile(
            path: config ?? variable, section: \.server, named: "server", known: KnownSetting.served,
            environment: environment)
    }
}

extension String {
    fileprivate func trimmingSuffix(_ suffix: Character) -> String {
        last == suffix ? String(dropLast()) : self
    }
}
