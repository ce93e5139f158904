/// The configuration file: one YAML mapping, whose sections are read by the parts that they are about.
public struct SettingsFile: Sendable, Equatable {
    /// The sections `handlers` and `runner`.
    public var runner = RunnerSettings()

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
        for (section, node) in try SettingNode(yaml: text).members(["handlers", "runner"]) {
            switch section {
            case "handlers": runner.handlers = try Handlers(node)
            default: try runner.read(node)
            }
        }
    }
}
