/// The configuration file: one YAML mapping, whose sections are read by the parts that they are about.
public struct SettingsFile: Sendable, Equatable {
    /// The sections `handlers` and `runner`.
    public var runner = RunnerSettings()
    /// The same as they stand in the file, as YAML, without the values of variables, which may be secrets.
    public private(set) var shownRunner = ""
    /// The section `server`: flags of `dspy-orchestrator serve`.
    public var server = ProgramSettings()
    /// The section `env_runner`: flags of `dspy-env-runner`.
    public var envRunner = ProgramSettings()

    /// A file that sets nothing.
    public init() {}

    /// - Throws: `invalidArgument` that names the file, the setting and its line.
    public init(path: String) throws(OrchestratorError) {
        let text: [UInt8]
        do {
            text = try WholeFile.read(WholeFile.resolved(path), limit: 1 << 20)
        } catch {
            throw .invalidArgument("config", "--config: \(path) can't be read: \(error)")
        }
        do {
            try self.init(yaml: String(decoding: text, as: UTF8.self))
        } catch {
            throw .invalidArgument("config", "--config: \(path): \(error.message)")
        }
    }

    init(yaml text: String) throws(OrchestratorError) {
        let file = try SettingNode(yaml: text)
        for (section, node) in try file.members(["server", "env_runner", "handlers", "runner"]) {
            switch section {
            case "server": server = try ProgramSettings(node)
            case "env_runner": envRunner = try ProgramSettings(node)
            default:
                if section == "handlers" {
                    runner.handlers = try Handlers(node)
                } else {
                    try runner.read(node)
                }
                if try !node.members().isEmpty {
                    shownRunner += try SettingNode.section(section, node).withoutSecrets()
                }
            }
        }
    }
}
