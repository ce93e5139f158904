import Yams

/// A part of the configuration file, with the path that a message names it by: `limits.cpu_short.memory`.
struct SettingNode {
    let path: String
    private let node: Node

    /// The whole text.
    init(yaml text: String) throws(OrchestratorError) {
        let composed: Node?
        do {
            composed = try Yams.compose(yaml: text)
        } catch {
            throw .invalidArgument("config", "it is not valid YAML: \(Self.oneLine("\(error)"))")
        }
        path = ""
        // An empty file is one that sets nothing.
        node = composed ?? Node.mapping(Node.Mapping([]))
    }

    private init(_ node: Node, path: String) {
        self.node = node
        self.path = path
    }

    /// A mapping of one key.
    static func section(_ name: String, _ content: SettingNode) -> SettingNode {
        SettingNode(Node([(Node(name), content.node)]), path: "")
    }

    private static func oneLine(_ text: String) -> String {
        text.split(whereSeparator: \.isNewline).joined(separator: " ")
    }

    func wrong(_ expected: String) -> OrchestratorError {
        let line = node.mark.map { " (line \($0.line))" } ?? ""
        let found = node.scalar.map { "\"\($0.string)\"" } ?? (node.mapping == nil ? "a list" : "a mapping")
        return .invalidArgument(
            "config", "\(path.isEmpty ? "the file" : path)\(line): \(found) is not \(expected)")
    }

    /// The same with `***` for what may be a secret: the values of variables.
    func withoutSecrets() throws(OrchestratorError) -> String {
        do {
            return try Yams.serialize(node: Self.withoutSecrets(node, isSecret: false))
        } catch {
            throw .invalidArgument("config", "it can't be shown: \(Self.oneLine("\(error)"))")
        }
    }

    private static func withoutSecrets(_ node: Node, isSecret: Bool) -> Node {
        switch node {
        case .scalar: return isSecret ? Node("***") : node
        case .mapping(let members):
            return Node(
                members.map { ($0.key, withoutSecrets($0.value, isSecret: isSecret || $0.key.string == "env")) })
        case .sequence(let elements):
            return Node(elements.map { withoutSecrets($0, isSecret: isSecret) })
        case .alias: return node
        }
    }

    /// The members of a mapping, in the file's order; `known` nil takes any key.
    func members(_ known: [String]? = nil) throws(OrchestratorError) -> [(key: String, value: SettingNode)] {
        // A key without a value: a section whose lines are all comments.
        if node.scalar?.string.isEmpty == true, node.scalar?.style == .plain { return [] }
        guard let mapping = node.mapping else { throw wrong("a mapping of keys and values") }
        var members: [(key: String, value: SettingNode)] = []
        for (key, value) in mapping {
            guard let key = key.scalar?.string else { throw wrong("a mapping with plain keys") }
            let path = path.isEmpty ? key : "\(self.path).\(key)"
            if let known, !known.contains(key) {
                let line = value.mark.map { " (line \($0.line))" } ?? ""
                let guess = NearestName.of(key, in: known).map { "did you mean \($0)? " } ?? ""
                throw .invalidArgument(
                    "config", "\(path)\(line): no such setting; \(guess)known are \(known.joined(separator: ", "))")
            }
            guard !members.contains(where: { $0.key == key }) else {
                throw .invalidArgument("config", "\(path): it is set twice")
            }
            members.append((key, SettingNode(value, path: path)))
        }
        return members
    }

    /// In the file, from 1.
    var line: Int? { node.mark?.line }

    /// A scalar as it is written, or a list of them with commas between.
    func text() throws(OrchestratorError) -> String {
        node.sequence == nil ? try string() : try strings().joined(separator: ",")
    }

    func string() throws(OrchestratorError) -> String {
        guard let text = node.scalar?.string, !text.isEmpty, !text.utf8.contains(0) else { throw wrong("a text") }
        return text
    }

    func strings() throws(OrchestratorError) -> [String] {
        guard let sequence = node.sequence else { throw wrong("a list of texts") }
        var strings: [String] = []
        for (index, element) in sequence.enumerated() {
            strings.append(try SettingNode(element, path: "\(path)[\(index)]").string())
        }
        return strings
    }

    func path(absolute: Bool = true) throws(OrchestratorError) -> String {
        let text = try string()
        guard !absolute || text.hasPrefix("/") else { throw wrong("an absolute path") }
        return text
    }

    func bool() throws(OrchestratorError) -> Bool {
        switch node.scalar?.string.lowercased() {
        case "true", "yes", "on": return true
        case "false", "no", "off": return false
        default: throw wrong("true or false")
        }
    }

    func count(_ range: ClosedRange<Int>) throws(OrchestratorError) -> Int {
        guard let number = node.scalar.flatMap({ Int($0.string) }), range.contains(number) else {
            throw wrong("a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func number(_ range: ClosedRange<Double>) throws(OrchestratorError) -> Double {
        guard let number = node.scalar.flatMap({ Double($0.string) }), range.contains(number) else {
            throw wrong("a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func seconds(_ range: ClosedRange<Double>) throws(OrchestratorError) -> Duration {
        .milliseconds(Int64(try number(range) * 1000))
    }

    /// "512MiB", "2 GB", or a number of bytes.
    func bytes() throws(OrchestratorError) -> UInt64 {
        let units: [String: UInt64] = [
            "": 1, "B": 1, "KB": 1000, "MB": 1_000_000, "GB": 1_000_000_000, "TB": 1_000_000_000_000,
            "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40,
        ]
        let text = node.scalar?.string ?? ""
        let digits = text.prefix { $0.isNumber || $0 == "." }
        let unit = text.dropFirst(digits.count).filter { $0 != " " }.uppercased()
        guard let amount = Double(digits), let factor = units[unit], amount > 0, amount * Double(factor) < 1e18 else {
            throw wrong("a number of bytes such as 512MiB")
        }
        return UInt64(amount * Double(factor))
    }

    func jobClass() throws(OrchestratorError) -> JobClass {
        let text = try string()
        guard let jobClass = JobClass.allCases.first(where: { $0.word == text && $0.isLocal }) else {
            throw wrong("one of cpu_short, cpu_long, gpu")
        }
        return jobClass
    }

    /// A mapping by class, of which `all` stands for those that are not named.
    func byClass<Value>(
        _ value: (SettingNode) throws(OrchestratorError) -> Value
    ) throws(OrchestratorError) -> [JobClass: Value] {
        var values: [JobClass: Value] = [:]
        var others: Value?
        for (key, node) in try members(JobClass.allCases.filter(\.isLocal).map(\.word) + ["all"]) {
            if key == "all" {
                others = try value(node)
            } else if let jobClass = JobClass.allCases.first(where: { $0.word == key }) {
                values[jobClass] = try value(node)
            }
        }
        if let others {
            for jobClass in JobClass.allCases where jobClass.isLocal && values[jobClass] == nil {
                values[jobClass] = others
            }
        }
        return values
    }
}
