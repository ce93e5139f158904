/// What a gpu_slurm job asks for, read from its payload: what sbatch is told, and what the batch job then runs.
struct SlurmWork: Sendable {
    enum Program: Sendable {
        case command(JobCommand)
        case template(SlurmTemplate, parameters: [String: String])
    }

    var options: SlurmOptions
    var program: Program

    /// Linux's limit for one argument or variable, its closing NUL included (execve(2): MAX_ARG_STRLEN).
    static let maxWordBytes = 131_072
    /// For all of them: well below the stack's quarter that execve(2) allows by default, and the job's own environment
    /// needs room too.
    static let maxWordsBytes = 1 << 20

    /// Variables that bash holds read-only or computes (bash(1), Shell Variables).
    private static let bashOwn: Set<String> = [
        "BASHOPTS", "BASHPID", "BASH_ARGC", "BASH_ARGV", "BASH_ARGV0", "BASH_COMMAND", "BASH_LINENO", "BASH_SOURCE",
        "BASH_SUBSHELL", "BASH_VERSINFO", "DIRSTACK", "EPOCHREALTIME", "EPOCHSECONDS", "EUID", "FUNCNAME", "GROUPS",
        "HISTCMD", "LINENO", "PIPESTATUS", "POSIXLY_CORRECT", "PPID", "RANDOM", "SECONDS", "SHELLOPTS", "SRANDOM",
        "UID",
        "DSPY_WORD",
    ]

    /// - Throws: `invalidArgument` that names the field.
    init(_ spec: JobSpec, templates: [String: SlurmTemplate]) throws(OrchestratorError) {
        let payload: JSONNode
        do {
            payload = try JSONNode(parsing: spec.payload)
        } catch {
            throw .invalidArgument("payload", "payload is not valid JSON: \(error)")
        }
        options = try SlurmOptions(payload["slurm"])
        try options.add(spec.resources)
        if let timeout = spec.timeout, !options.has("time") {
            // Whole minutes, rounded up: sbatch knows seconds, Slurm's limit does not.
            options.setDefault("time", String(max(1, Int64((timeout.inSeconds / 60).rounded(.up)))))
        }
        let hasCommand = ["command", "execution"].contains { key in
            payload[key]?.isNull == false
        }
        if hasCommand {
            let command = try PayloadCommand.command(in: payload, of: spec)
            try Self.checkSize(command)
            program = .command(command)
            return
        }
        let template = try Self.template(payload, templates)
        let parameters = try Self.parameters(payload)
        for name in template.required where parameters[name] == nil {
            throw .invalidArgument(
                "payload.\(name)",
                "payload.\(name) is missing; template \"\(template.name)\" needs "
                    + template.required.joined(separator: ", "))
        }
        program = .template(template, parameters: parameters)
    }

    private static func template(
        _ payload: JSONNode, _ templates: [String: SlurmTemplate]
    ) throws(OrchestratorError) -> SlurmTemplate {
        let known =
            templates.isEmpty
            ? "this server has none (--slurm-templates)"
            : "there are \(templates.keys.sorted().joined(separator: ", "))"
        for key in ["template", "method"] {
            guard let node = payload[key], !node.isNull else { continue }
            guard case .string(let name) = node.value else {
                throw .invalidArgument("payload.\(key)", "payload.\(key) must be a string, not \(node.value.kind)")
            }
            guard let template = templates[name] else {
                throw .invalidArgument(
                    "payload.\(key)",
                    "payload.\(key) \(String(name.prefix(64)).debugDescription) names no batch template; \(known)")
            }
            return template
        }
        throw .invalidArgument(
            "payload",
            "payload has neither \"command\" nor \"template\" nor \"method\"; give {\"command\": [\"program\"]}, or a "
                + "template: \(known)")
    }

    /// The payload's texts, numbers and booleans; what is nested is in the payload's file.
    private static func parameters(_ payload: JSONNode) throws(OrchestratorError) -> [String: String] {
        guard case .object(let members) = payload.value else { return [:] }
        var parameters: [String: String] = [:]
        var bytes = 0
        for (key, node) in members where SlurmTemplate.isParameter(key) {
            switch node.value {
            case .string(let text):
                guard !text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else {
                    throw .invalidArgument(
                        "payload.\(key)", "payload.\(key) has a control character; a template's parameters have none")
                }
                parameters[key] = text
            case .number(let number):
                parameters[key] =
                    number == number.rounded() && abs(number) < 1e15 ? String(Int64(number)) : String(number)
            case .bool(let flag): parameters[key] = flag ? "true" : "false"
            case .null, .array, .object: continue
            }
            bytes += try checkedSize(parameters[key] ?? "", at: "payload.\(key)") + key.utf8.count
        }
        try checkTotal(bytes)
        return parameters
    }

    private static func checkSize(_ command: JobCommand) throws(OrchestratorError) {
        var bytes = 0
        for (index, argument) in command.arguments.enumerated() {
            bytes += try checkedSize(argument, at: "payload.command[\(index)]")
        }
        for (name, value) in command.environment {
            guard SlurmTemplate.isParameter(name) else {
                throw .invalidArgument(
                    "payload.env",
                    "payload.env has the name \(String(name.prefix(64)).debugDescription); in a batch job a variable's "
                        + "name has letters, digits and _ only, at most 64, and does not start with a digit")
            }
            guard !bashOwn.contains(name) else {
                throw .invalidArgument(
                    "payload.env.\(name)", "payload.env.\(name) can't be set: bash keeps it for itself")
            }
            bytes += try checkedSize(value, at: "payload.env.\(name)")
        }
        try checkTotal(bytes)
    }

    private static func checkedSize(_ text: String, at path: String) throws(OrchestratorError) -> Int {
        let size = text.utf8.count
        // Room for the longest variable's name and "=".
        guard size < maxWordBytes - 128 else {
            throw .invalidArgument(
                path,
                "\(path) has \(size) bytes; one argument or variable has at most \(maxWordBytes - 128): put it into a "
                    + "file, or read it from $DSPY_PAYLOAD_PATH")
        }
        return size + 1
    }

    private static func checkTotal(_ bytes: Int) throws(OrchestratorError) {
        guard bytes <= maxWordsBytes else {
            throw .invalidArgument(
                "payload", "the command and its environment have \(bytes) bytes; at most \(maxWordsBytes) are allowed")
        }
    }
}
