/// What a job asks Slurm for: the object `slurm` of its payload. Every value is checked by its own rule before it
/// becomes an argument of sbatch, so that none is taken for another option and none says what nobody checked.
public struct SlurmOptions: Sendable, Equatable {
    /// sbatch's long options with their values, in a fixed order.
    private(set) var values: [(option: String, value: String?)] = []

    public static func == (left: SlurmOptions, right: SlurmOptions) -> Bool { left.arguments == right.arguments }

    public var arguments: [String] {
        values.map { entry in entry.value.map { "--\(entry.option)=\($0)" } ?? "--\(entry.option)" }
    }

    /// A kind of value: what it must look like, in code and in words.
    struct Rule: Sendable {
        var expected: String
        var accepts: @Sendable (String) -> Bool
        /// For a number in the payload, instead of a string.
        var takesNumber = false
    }

    private struct Key: Sendable {
        var name: String
        /// Other names for the same.
        var aliases: [String] = []
        var option: String
        var rule: Rule
    }

    private static let name = Rule(expected: "letters, digits and . _ - (at most 128)") { text in
        text.utf8.count <= 128 && !text.hasPrefix("-") && text.utf8.allSatisfy { isWord($0) }
    }
    static let names = Rule(expected: "names with commas between, of letters, digits and . _ -") { text in
        text.utf8.count <= 256 && !text.hasPrefix("-")
            && text.split(separator: ",", omittingEmptySubsequences: false).allSatisfy { part in
                !part.isEmpty && part.utf8.allSatisfy { isWord($0) }
            }
    }
    private static func count(_ range: ClosedRange<Int>) -> Rule {
        Rule(
            expected: "a whole number from \(range.lowerBound) to \(range.upperBound)",
            accepts: { text in Int(text).map { range.contains($0) && String($0) == text } ?? false },
            takesNumber: true)
    }
    private static let nodes = Rule(
        expected: "a number of nodes, or MIN-MAX",
        accepts: { text in
            let parts = text.split(separator: "-", omittingEmptySubsequences: false)
            let numbers = parts.compactMap { Int($0) }
            return (1...2).contains(parts.count) && numbers.count == parts.count
                && numbers.allSatisfy { (1...1_000_000).contains($0) } && numbers.first ?? 0 <= numbers.last ?? 0
                && parts.allSatisfy { $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }
        }, takesNumber: true)
    private static let time = Rule(
        expected: "minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS",
        accepts: { isTime($0) }, takesNumber: true)
    private static let memory = Rule(
        expected: "MiB, or a number with K, M, G or T",
        accepts: { text in
            let digits = text.prefix { $0.isASCII && $0.isNumber }
            return !digits.isEmpty && digits.utf8.count <= 12
                && ["", "K", "M", "G", "T"].contains(text.dropFirst(digits.count).uppercased())
        }, takesNumber: true)
    /// `2`, `a100:2`, `gpu:a100:2,gpu:1`.
    private static let generic = Rule(
        expected: "a number, TYPE:NUMBER or gpu:TYPE:NUMBER, with commas between",
        accepts: { text in
            !text.isEmpty && text.utf8.count <= 256
                && text.split(separator: ",", omittingEmptySubsequences: false).allSatisfy { part in
                    let words = part.split(separator: ":", omittingEmptySubsequences: false)
                    return (1...3).contains(words.count)
                        && words.allSatisfy { !$0.isEmpty && !$0.hasPrefix("-") && $0.utf8.allSatisfy { isWord($0) } }
                }
        }, takesNumber: true)
    private static let features = Rule(expected: "features with & | , ( ) [ ] * between (at most 256)") { text in
        !text.isEmpty && text.utf8.count <= 256 && !text.hasPrefix("-")
            && text.utf8.allSatisfy { isWord($0) || "&|,()[]*".utf8.contains($0) }
    }
    private static let dependency = Rule(
        expected: "singleton, or TYPE:ID[:ID] such as afterok:123, with , or ? between"
    ) {
        text in
        let parts = text.split(omittingEmptySubsequences: false) { $0 == "," || $0 == "?" }
        return text.utf8.count <= 1024
            && parts.allSatisfy { part in
                if part == "singleton" { return true }
                let words = part.split(separator: ":", omittingEmptySubsequences: false)
                return words.count >= 2
                    && ["after", "afterany", "afterok", "afternotok", "aftercorr", "afterburstbuffer"].contains(
                        words[0])
                    && words.dropFirst().allSatisfy { word in
                        !word.isEmpty && word.utf8.allSatisfy { (0x30...0x39).contains($0) || $0 == 0x5f || $0 == 0x2b }
                    }
            }
    }

    private static let keys: [Key] = [
        Key(name: "partition", option: "partition", rule: names),
        Key(name: "account", option: "account", rule: name),
        Key(name: "qos", option: "qos", rule: name),
        Key(name: "reservation", option: "reservation", rule: names),
        Key(name: "time_limit", aliases: ["time"], option: "time", rule: time),
        Key(name: "nodes", option: "nodes", rule: nodes),
        Key(name: "ntasks", aliases: ["tasks"], option: "ntasks", rule: count(1...10_000_000)),
        Key(name: "ntasks_per_node", aliases: ["tasks_per_node"], option: "ntasks-per-node", rule: count(1...100_000)),
        Key(name: "cpus_per_task", option: "cpus-per-task", rule: count(1...100_000)),
        Key(name: "mem", aliases: ["memory"], option: "mem", rule: memory),
        Key(name: "mem_per_cpu", option: "mem-per-cpu", rule: memory),
        Key(name: "gpus", option: "gpus", rule: generic),
        Key(name: "gpus_per_node", option: "gpus-per-node", rule: generic),
        Key(name: "gres", option: "gres", rule: generic),
        Key(name: "constraint", option: "constraint", rule: features),
        Key(name: "dependency", option: "dependency", rule: dependency),
    ]

    /// Keys that are no values of sbatch's, or none of ours.
    private static let refused = [
        "array": "submit one job for each element",
        "output": "the job's output is kept by this server; read it with StreamLogs",
        "error": "the job's output is kept by this server; read it with StreamLogs",
        "job_name": "the name tells this server which job it is; use labels",
        "comment": "the comment tells this server which job it is; use labels",
    ]

    /// - Parameter node: the payload's `slurm`; nil is nothing.
    /// - Throws: `invalidArgument` that names the field, the value, and what is expected.
    init(_ node: JSONNode?, at path: String = "payload.slurm") throws(OrchestratorError) {
        guard let node, !node.isNull else { return }
        guard case .object(let members) = node.value else {
            throw .invalidArgument(path, "\(path) must be an object, not \(node.value.kind)")
        }
        let known = Set(Self.keys.flatMap { [$0.name] + $0.aliases } + ["requeue", "exclusive"])
        for (key, _) in members where !known.contains(key) {
            if let remedy = Self.refused[key] {
                throw .invalidArgument("\(path).\(key)", "\(path).\(key) can't be set: \(remedy)")
            }
            throw .invalidArgument(
                "\(path).\(key)",
                "\(path).\(key.debugDescription) is unknown; there are \(known.sorted().joined(separator: ", "))")
        }
        for key in Self.keys {
            for name in [key.name] + key.aliases {
                guard let value = node[name] else { continue }
                guard let text = try Self.text(value, key.rule, at: "\(path).\(name)") else { continue }
                guard !values.contains(where: { $0.option == key.option }) else {
                    throw .invalidArgument(
                        "\(path).\(name)", "\(path).\(name) says the same as \(key.name), which is there too")
                }
                values.append((key.option, text))
            }
        }
        if let requeue = try Self.flag(node["requeue"], at: "\(path).requeue") {
            values.append((requeue ? "requeue" : "no-requeue", nil))
        }
        if try Self.flag(node["exclusive"], at: "\(path).exclusive") == true { values.append(("exclusive", nil)) }
        // Otherwise it waits for ever for what can't come.
        if has("dependency") { values.append(("kill-on-invalid-dep", "yes")) }
    }

    func has(_ option: String) -> Bool { values.contains { $0.option == option } }

    /// Sets an option that the job left open.
    mutating func setDefault(_ option: String, _ value: String) {
        if !has(option) { values.append((option, value)) }
    }

    /// What the job's `resources` say, where its own options say nothing.
    ///
    /// - Throws: `invalidArgument` for `processes`, of which Slurm knows no limit.
    mutating func add(_ resources: Resources) throws(OrchestratorError) {
        guard resources.processes == 0 else {
            throw .invalidArgument(
                "resources.processes",
                "resources.processes of \(resources.processes): Slurm has no limit of processes; leave it out")
        }
        if resources.cpus > 0 { setDefault("cpus-per-task", String(Int(resources.cpus.rounded(.up)))) }
        if resources.memoryBytes > 0, !has("mem-per-cpu") {
            setDefault("mem", "\(max(1, (resources.memoryBytes - 1) >> 20 + 1))M")
        }
        if resources.gpus > 0, !has("gres"), !has("gpus-per-node") { setDefault("gpus", String(resources.gpus)) }
    }

    private static func text(_ node: JSONNode, _ rule: Rule, at path: String) throws(OrchestratorError) -> String? {
        let text: String
        switch node.value {
        case .null: return nil
        case .string(let string): text = string
        case .number(let number) where rule.takesNumber && number == number.rounded() && abs(number) < 1e15:
            text = String(Int64(number))
        default: throw .invalidArgument(path, "\(path) must be \(rule.expected), not \(node.value.kind)")
        }
        guard rule.accepts(text) else {
            let shown = text.count > 80 ? text.prefix(80) + "…" : text[...]
            throw .invalidArgument(path, "\(path) must be \(rule.expected), not \(String(shown).debugDescription)")
        }
        return text
    }

    private static func flag(_ node: JSONNode?, at path: String) throws(OrchestratorError) -> Bool? {
        switch node?.value {
        case nil, .null?: return nil
        case .bool(let flag)?: return flag
        case let other?: throw .invalidArgument(path, "\(path) must be true or false, not \(other.kind)")
        }
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }

    /// sbatch(1) `--time`, without `infinite`: who wants no limit leaves it out.
    private static func isTime(_ text: String) -> Bool {
        guard !text.isEmpty, text.utf8.count <= 20 else { return false }
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count <= 2, let clock = parts.last else { return false }
        let numbers = clock.split(separator: ":", omittingEmptySubsequences: false)
        let digits = numbers + parts.dropLast()
        return (1...3).contains(numbers.count)
            && digits.allSatisfy { part in
                !part.isEmpty && part.utf8.count <= 7 && part.utf8.allSatisfy { (0x30...0x39).contains($0) }
            }
    }
}
