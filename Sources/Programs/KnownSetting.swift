/// A setting of a program, as the program's own help tells it, so that there is one list of them.
package struct KnownSetting: Equatable {
    /// Without the dashes: `rpc-listen`.
    package var flag: String
    /// Those that set it, the one to name first.
    package var variables: [String]
    package var help: String
    /// In words or as a value; nil when the help tells none.
    package var standard: String?

    /// In the configuration file.
    package var key: String { flag.replacing("-", with: "_") }

    /// - Parameter help: of ArgumentParser's, with each `(env: VARIABLE; default: VALUE)`.
    package static func all(help: String) -> [KnownSetting] {
        help.split(separator: /\n\s+(?=--[a-z])/).compactMap { entry in
            let text = entry.split(whereSeparator: \.isWhitespace).joined(separator: " ")
            guard let parts = text.wholeMatch(of: /--([a-z0-9-]+) <[^>]*> (.*?) ?\(env: (.*?)(?:; default: (.*))?\).*/)
            else { return nil }
            return KnownSetting(
                flag: String(parts.1), variables: parts.3.matches(of: /[A-Z][A-Z0-9_]+/).map { String($0.0) },
                help: String(parts.2), standard: parts.4.map(String.init))
        }
    }
}
