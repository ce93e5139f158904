import ArgumentParser
import Orchestrator

/// The file of `--config`, and what it sets for this program, below what the environment does.
package struct ConfigurationFile {
    /// The variables, with what the file says where they say nothing. Where a value is from stands under
    /// `sourceKey(variable)`.
    package var environment: [String: String]
    /// What the file says about running jobs.
    package var runner = RunnerSettings()
    /// `runner` as YAML without secrets.
    package var shownRunner = ""

    /// - Parameters:
    ///   - path: nil is no file.
    ///   - section: the file's part for this program.
    ///   - known: the program's settings; asked only when there is a file.
    /// - Throws: `ValidationError` that names the file, the setting and its line.
    package init(
        path: String?, section: KeyPath<SettingsFile, ProgramSettings>, named name: String,
        known: @autoclosure () -> [KnownSetting], environment: [String: String]
    ) throws {
        self.environment = environment
        guard let path, !path.isEmpty else { return }
        let file: SettingsFile
        do {
            file = try SettingsFile(path: path)
        } catch {
            throw ValidationError(error.message)
        }
        runner = file.runner
        shownRunner = file.shownRunner
        let known = known().filter { $0.flag != "config" }
        for (key, value) in file[keyPath: section].values.sorted(by: { $0.value.line ?? 0 < $1.value.line ?? 0 }) {
            let place = value.line.map { "\(path) line \($0)" } ?? path
            guard let setting = known.first(where: { $0.key == key }), let variable = setting.variables.first else {
                let guess =
                    NearestName.of(key, in: known.map(\.key)).map { "did you mean \($0)?" }
                    ?? "`config example` shows all there are"
                throw ValidationError("--config: \(place): \(name).\(key) is no setting; \(guess)")
            }
            if setting.variables.contains(where: { environment[$0]?.isEmpty == false }) { continue }
            self.environment[variable] = value.text
            self.environment[Self.sourceKey(variable)] = place
        }
    }

    /// No variable of a process can have this name.
    static func sourceKey(_ variable: String) -> String { variable + "\0source" }

    /// What a variable is set to and where: its own name, or the file and line. nil when it is not set.
    package func value(of setting: KnownSetting) -> (text: String, source: String)? {
        for variable in setting.variables {
            guard let text = environment[variable], !text.isEmpty else { continue }
            return (text, environment[Self.sourceKey(variable)] ?? variable)
        }
        return nil
    }
}
