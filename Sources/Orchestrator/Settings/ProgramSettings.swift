/// What a section of the configuration file sets for one program: the values of its flags, as texts. Which keys there are
/// is the program's to say.
public struct ProgramSettings: Sendable, Equatable {
    public struct Value: Sendable, Equatable {
        public var text: String
        /// In the file, from 1.
        public var line: Int?

        public init(text: String, line: Int?) {
            self.text = text
            self.line = line
        }
    }

    public var values: [String: Value] = [:]

    public init() {}

    init(_ node: SettingNode) throws(OrchestratorError) {
        for (key, value) in try node.members() {
            values[key] = Value(text: try value.text(), line: value.line)
        }
    }
}
