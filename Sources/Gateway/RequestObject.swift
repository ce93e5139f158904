import Orchestrator

/// A JSON object of a request's body, read as protobuf's JSON form has it: a field goes by its name in the contract or by
/// the same in lowerCamelCase, null is absent, a whole number may stand in quotes, an unknown field is an error.
struct RequestObject {
    /// The fields that an object may have.
    struct Fields: Sendable {
        let names: [String]
        fileprivate let byKey: [String: String]

        init(_ names: String...) {
            self.names = names
            let both = names.map { ($0, $0) } + names.map { (Self.camelCase($0), $0) }
            byKey = Dictionary(both, uniquingKeysWith: { first, _ in first })
        }

        private static func camelCase(_ name: String) -> String {
            let words = name.split(separator: "_")
            return words.prefix(1).joined()
                + words.dropFirst().map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined()
        }
    }

    private let text: [UInt8]
    /// Its path in the body; empty for the body itself.
    private let place: String
    private var nodes: [String: JSONNode] = [:]

    /// - Throws: `invalidArgument` that names the field, as all that read it do.
    init(_ node: JSONNode, in text: [UInt8], at place: String = "", fields: Fields) throws(OrchestratorError) {
        self.text = text
        self.place = place
        guard case .object(let members) = node.value else {
            let name = place.isEmpty ? "the body" : place
            throw .invalidArgument(
                place.isEmpty ? "body" : place,
                "\(name) must be an object with \(fields.names.joined(separator: ", ")), not \(node.value.kind)")
        }
        for (key, value) in members {
            guard let name = fields.byKey[key] else {
                throw .invalidArgument(
                    path(Self.clipped(key)),
                    "\(path(Self.clipped(key))) is not a field; there are: \(fields.names.joined(separator: ", "))")
            }
            guard nodes.updateValue(value, forKey: name) == nil else {
                throw .invalidArgument(path(name), "\(path(name)) is given twice; send it once")
            }
        }
        for (name, value) in nodes where value.isNull { nodes[name] = nil }
    }

    private func path(_ name: String) -> String { place.isEmpty ? name : "\(place).\(name)" }

    // MARK: Fields by their type

    func string(_ name: String) throws(OrchestratorError) -> String? {
        guard let node = nodes[name] else { return nil }
        return try string(node, path(name))
    }

    func strings(_ name: String) throws(OrchestratorError) -> [String] {
        var strings: [String] = []
        for (index, node) in try elements(name).enumerated() {
            strings.append(try string(node, "\(path(name))[\(index)]"))
        }
        return strings
    }

    /// Of an object with keys of the caller's own. A key that comes twice has its last value.
    func strings(byKeyOf name: String) throws(OrchestratorError) -> [String: String] {
        guard let node = nodes[name] else { return [:] }
        guard case .object(let members) = node.value else {
            throw .invalidArgument(path(name), "\(path(name)) must be an object of strings, not \(node.value.kind)")
        }
        var strings: [String: String] = [:]
        for (key, node) in members { strings[key] = try string(node, "\(path(name)).\(Self.clipped(key))") }
        return strings
    }

    func number(_ name: String) throws(OrchestratorError) -> Double? {
        guard let node = nodes[name] else { return nil }
        guard case .number(let number) = node.value else {
            throw .invalidArgument(path(name), "\(path(name)) must be a number, not \(node.value.kind)")
        }
        return number
    }

    func integer<Integer: FixedWidthInteger>(_ name: String) throws(OrchestratorError) -> Integer? {
        guard let node = nodes[name] else { return nil }
        // As digits first: a Double would round the large ones.
        let integer: Integer? =
            switch node.value {
            case .string(let digits): Integer(digits)
            case .number(let number): Integer(raw(node)) ?? Integer(exactly: number)
            default: nil
            }
        guard let integer else {
            throw .invalidArgument(
                path(name),
                "\(path(name)) \(Self.clipped(raw(node))) is not a whole number from \(Integer.min) to \(Integer.max)")
        }
        return integer
    }

    func duration(_ name: String) throws(OrchestratorError) -> Duration? {
        guard let node = nodes[name] else { return nil }
        guard case .string(let text) = node.value, let duration = Duration(protobufJSON: text) else {
            throw .invalidArgument(
                path(name),
                "\(path(name)) \(Self.clipped(raw(node))) is not a duration; write seconds, as \"90s\" or \"0.5s\"")
        }
        return duration
    }

    func object(_ name: String, _ fields: Fields) throws(OrchestratorError) -> RequestObject? {
        guard let node = nodes[name] else { return nil }
        return try RequestObject(node, in: text, at: path(name), fields: fields)
    }

    /// An object of the caller's own, byte for byte.
    func rawObject(_ name: String) throws(OrchestratorError) -> [UInt8]? {
        guard let node = nodes[name] else { return nil }
        guard case .object = node.value else {
            throw .invalidArgument(path(name), "\(path(name)) must be a JSON object, not \(node.value.kind)")
        }
        return Array(text[node.range])
    }

    // MARK: Enumerations

    /// By the word that the gateway uses, the name in the contract (the word in upper case behind a prefix), or the number.
    /// nil also for the number 0 and the name UNSPECIFIED.
    func choice<Choice: CaseIterable & RawRepresentable<Int32>>(
        _ name: String, prefix: String, word: (Choice) -> String
    ) throws(OrchestratorError) -> Choice? {
        guard let node = nodes[name] else { return nil }
        switch node.value {
        case .number(0): return nil
        case .string(let text) where text == prefix + "UNSPECIFIED": return nil
        default: return try choice(node, path(name), prefix: prefix, word: word)
        }
    }

    func choices<Choice: CaseIterable & RawRepresentable<Int32>>(
        _ name: String, prefix: String, word: (Choice) -> String
    ) throws(OrchestratorError) -> [Choice] {
        var choices: [Choice] = []
        for (index, node) in try elements(name).enumerated() {
            choices.append(try choice(node, "\(path(name))[\(index)]", prefix: prefix, word: word))
        }
        return choices
    }

    private func choice<Choice: CaseIterable & RawRepresentable<Int32>>(
        _ node: JSONNode, _ path: String, prefix: String, word: (Choice) -> String
    ) throws(OrchestratorError) -> Choice {
        let choice: Choice? =
            switch node.value {
            case .string(let text):
                Choice.allCases.first { word($0) == text || prefix + word($0).uppercased() == text }
            case .number(let number): Int32(exactly: number).flatMap(Choice.init(rawValue:))
            default: nil
            }
        guard let choice else {
            throw .invalidArgument(
                path,
                "\(path) \(Self.clipped(raw(node))) is unknown; use one of "
                    + Choice.allCases.map(word).joined(separator: ", "))
        }
        return choice
    }

    // MARK: Values

    private func elements(_ name: String) throws(OrchestratorError) -> [JSONNode] {
        guard let node = nodes[name] else { return [] }
        guard case .array(let elements) = node.value else {
            throw .invalidArgument(path(name), "\(path(name)) must be an array, not \(node.value.kind)")
        }
        return elements
    }

    private func string(_ node: JSONNode, _ path: String) throws(OrchestratorError) -> String {
        guard case .string(let string) = node.value else {
            throw .invalidArgument(path, "\(path) must be a string, not \(node.value.kind)")
        }
        return string
    }

    private func raw(_ node: JSONNode) -> String { String(decoding: text[node.range], as: UTF8.self) }

    /// For messages, which are one line.
    private static func clipped(_ text: String) -> String {
        let clipped = text.count > 64 ? text.prefix(64) + "…" : text[...]
        return clipped.contains(where: \.isNewline) ? String(clipped).debugDescription : String(clipped)
    }
}

extension JSONNode {
    /// - Throws: `invalidArgument` for the field "body".
    init(requestBody body: [UInt8]) throws(OrchestratorError) {
        do throws(JSONError) {
            try self.init(parsing: body)
        } catch {
            throw .invalidArgument("body", "the body is not JSON: \(error); send an object")
        }
    }
}

extension Duration {
    /// Seconds with an s behind them and at most nine digits after the point: "90s", "-0.5s". nil when it is not that, or
    /// longer than protobuf's 10,000 years.
    init?(protobufJSON text: String) {
        guard text.hasSuffix("s") else { return nil }
        let isNegative = text.hasPrefix("-")
        let parts = text.dropLast().dropFirst(isNegative ? 1 : 0)
            .split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        let fraction = parts.count == 2 ? parts[1] : "0"
        guard parts.allSatisfy({ part in !part.isEmpty && part.utf8.allSatisfy { (0x30...0x39).contains($0) } }),
            fraction.count <= 9,
            let whole = parts.first.flatMap({ Int64($0) }), whole <= 315_576_000_000,
            let nanoseconds = Int64(fraction + String(repeating: "0", count: 9 - fraction.count))
        else { return nil }
        let duration = Duration.seconds(whole) + .nanoseconds(nanoseconds)
        self = isNegative ? .zero - duration : duration
    }
}
