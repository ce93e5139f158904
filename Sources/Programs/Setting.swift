import ArgumentParser

/// A setting that a flag gives, else an environment variable, else a default. An empty variable counts as absent. What
/// the configuration file says is among the variables (`ConfigurationFile`).
package struct Setting<Value> {
    private let flag: String
    private let variable: String
    private let parse: (String) -> Value?
    /// What a good value looks like, for the message about a bad one.
    private let expected: String

    package init(flag: String, variable: String, parse: @escaping (String) -> Value?, expected: String) {
        self.flag = flag
        self.variable = variable
        self.parse = parse
        self.expected = expected
    }

    /// - Throws: `ValidationError` that names the flag, the value and what is expected.
    package func value(
        _ given: String?, environment: [String: String], default fallback: @autoclosure () -> Value
    ) throws -> Value {
        let (text, origin): (String, String)
        if let given {
            (text, origin) = (given, flag)
        } else if let set = environment[variable], !set.isEmpty {
            let source = environment[ConfigurationFile.sourceKey(variable)] ?? variable
            (text, origin) = (set, "\(flag) (from \(source))")
        } else {
            return fallback()
        }
        guard let value = parse(text) else { throw ValidationError("\(origin): \"\(text)\" is not \(expected)") }
        return value
    }
}

/// Reads settings from flags and one environment.
package struct SettingReader {
    package let environment: [String: String]

    package init(environment: [String: String]) { self.environment = environment }

    package func callAsFunction<Value>(
        _ flag: String, _ variable: String, _ given: String?, _ expected: String, _ fallback: Value,
        _ parse: @escaping (String) -> Value?
    ) throws -> Value {
        try Setting(flag: "--\(flag)", variable: variable, parse: parse, expected: expected)
            .value(given, environment: environment, default: fallback)
    }
}
