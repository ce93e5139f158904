/// Reads the command out of a job's payload: `{"command", "env", "cwd", "stdin"}`, or the older
/// `{"execution": {"command", "env", "timeout_seconds", "working_dir"}}`, or `{"handler"}`, the name of a command that
/// the server has. Keys it does not know belong to the job and are left alone.
public enum PayloadCommand {
    /// Whether this machine could start the job, to be asked before the job is accepted.
    ///
    /// Throws `invalidArgument` with the path of the field (`payload.command[1]`), or `failedPrecondition` for a class
    /// that has no runner here.
    public static func validate(_ spec: JobSpec) throws(OrchestratorError) {
        _ = try command(of: spec)
    }

    /// - Parameter handlers: what `handler` may name, and what a job of a class gets that names nothing.
    public static func command(
        of spec: JobSpec, handlers: Handlers = Handlers()
    ) throws(OrchestratorError) -> JobCommand {
        guard spec.jobClass.isLocal else {
            throw OrchestratorError(
                .failedPrecondition,
                "class \"\(spec.jobClass.word)\" needs the Slurm bridge, which this server does not have; submit the job "
                    + "as \"gpu\" to run it on this machine"
            ).because(.slurmNotConfigured)
        }
        let payload: JSONNode
        do {
            payload = try JSONNode(parsing: spec.payload)
        } catch {
            throw .invalidArgument("payload", "payload is not valid JSON: \(error)")
        }
        return try command(in: payload, of: spec, handlers: handlers)
    }

    /// Whatever runs it: this machine's runner, or a batch job, for which there are no handlers.
    ///
    /// - Parameter payload: the spec's, parsed.
    static func command(
        in payload: JSONNode, of spec: JobSpec, handlers: Handlers = Handlers()
    ) throws(OrchestratorError) -> JobCommand {
        guard payload.isObject else {
            throw .invalidArgument(
                "payload", "payload must be a JSON object such as {\"command\": [\"true\"]}, not \(payload.value.kind)")
        }
        let members = payload.members
        if let arguments = present(members["command"]) {
            return JobCommand(
                arguments: try self.arguments(arguments, at: "payload.command"),
                environment: try environment(members["env"], at: "payload.env"),
                workingDirectory: try directory(members["cwd"], at: "payload.cwd"),
                standardInput: try standardInput(members["stdin"], at: "payload.stdin"))
        }
        if let execution = present(members["execution"]) {
            guard execution.isObject else {
                throw wrongType("payload.execution", "an object", execution)
            }
            let older = execution.members
            guard let arguments = present(older["command"]) else {
                throw .invalidArgument(
                    "payload.execution.command", "payload.execution has no \"command\"; give an array of strings")
            }
            return JobCommand(
                arguments: try self.arguments(arguments, at: "payload.execution.command"),
                environment: try environment(older["env"], at: "payload.execution.env"),
                workingDirectory: try directory(older["working_dir"], at: "payload.execution.working_dir"),
                standardInput: try standardInput(older["stdin"], at: "payload.execution.stdin"),
                timeout: try timeout(older["timeout_seconds"], at: "payload.execution.timeout_seconds"))
        }
        if let handler = present(members["handler"]) {
            guard case .string(let name) = handler.value else {
                throw wrongType("payload.handler", "a string", handler)
            }
            guard let handler = handlers.byName[name] else {
                let known = handlers.byName.keys.sorted().joined(separator: ", ")
                throw .invalidArgument(
                    "payload.handler",
                    "handler \(name.asJSON) is not configured on this server; "
                        + (known.isEmpty
                            ? "it has none, so give a \"command\" instead" : "it has \(known); or give a \"command\""))
            }
            return command(of: handler, payload: spec.payload)
        }
        if let name = handlers.defaults[spec.jobClass], let handler = handlers.byName[name] {
            return command(of: handler, payload: spec.payload)
        }
        throw .invalidArgument(
            "payload",
            "payload has neither \"command\" nor a configured \"handler\"; give {\"command\": [\"program\", "
                + "\"argument\"]}")
    }

    private static func command(of handler: Handler, payload: [UInt8]) -> JobCommand {
        var command = JobCommand(
            arguments: handler.command, environment: handler.environment,
            workingDirectory: handler.workingDirectory, timeout: handler.timeout)
        switch handler.mode {
        case .worker: command.worker = handler
        case .process: command.standardInput = String(decoding: payload, as: UTF8.self)
        }
        return command
    }

    /// null is the same as absent.
    private static func present(_ node: JSONNode?) -> JSONNode? {
        node?.isNull == true ? nil : node
    }

    private static func wrongType(_ path: String, _ wanted: String, _ found: JSONNode) -> OrchestratorError {
        .invalidArgument(path, "\(path) must be \(wanted), not \(found.value.kind)")
    }

    private static func text(_ node: JSONNode, at path: String) throws(OrchestratorError) -> String {
        guard case .string(let text) = node.value else { throw wrongType(path, "a string", node) }
        // The system's calls end a string at the first NUL.
        guard !text.utf8.contains(0) else { throw .invalidArgument(path, "\(path) must not contain a NUL character") }
        return text
    }

    private static func arguments(_ node: JSONNode, at path: String) throws(OrchestratorError) -> [String] {
        guard case .array(let elements) = node.value else {
            throw .invalidArgument(
                path,
                "\(path) must be an array of strings such as [\"python3\", \"run.py\"], not \(node.value.kind); no shell "
                    + "reads it")
        }
        var arguments: [String] = []
        arguments.reserveCapacity(elements.count)
        for (index, element) in elements.enumerated() {
            arguments.append(try text(element, at: "\(path)[\(index)]"))
        }
        guard let program = arguments.first else {
            throw .invalidArgument(path, "\(path) is empty; its first element is the program to run")
        }
        guard !program.isEmpty else {
            throw .invalidArgument("\(path)[0]", "\(path)[0] is empty; it is the program to run")
        }
        return arguments
    }

    private static func environment(_ node: JSONNode?, at path: String) throws(OrchestratorError) -> [String: String] {
        guard let node = present(node) else { return [:] }
        guard case .object(let members) = node.value else { throw wrongType(path, "an object of strings", node) }
        var environment: [String: String] = [:]
        for (name, value) in members {
            guard !name.isEmpty, !name.utf8.contains(UInt8(ascii: "=")), !name.utf8.contains(0) else {
                throw .invalidArgument(
                    path, "\(path) has the name \(name.asJSON); a variable's name is not empty and has no \"=\" or NUL")
            }
            environment[name] = try text(value, at: "\(path).\(name)")
        }
        return environment
    }

    private static func directory(_ node: JSONNode?, at path: String) throws(OrchestratorError) -> String? {
        guard let node = present(node) else { return nil }
        let directory = try text(node, at: path)
        guard !directory.isEmpty else { return nil }
        guard directory.hasPrefix("/") else {
            throw .invalidArgument(
                path,
                "\(path) must be an absolute path, not \(directory.asJSON): the server's own directory means nothing "
                    + "to a job")
        }
        return directory
    }

    private static func standardInput(_ node: JSONNode?, at path: String) throws(OrchestratorError) -> String? {
        guard let node = present(node) else { return nil }
        guard case .string(let text) = node.value else { throw wrongType(path, "a string", node) }
        return text.isEmpty ? nil : text
    }

    private static func timeout(_ node: JSONNode?, at path: String) throws(OrchestratorError) -> Duration? {
        guard let node = present(node) else { return nil }
        guard case .number(let seconds) = node.value else { throw wrongType(path, "a number of seconds", node) }
        guard seconds > 0, seconds <= 1e9 else {
            throw .invalidArgument(path, "\(path) must be more than 0 and at most 1e9 seconds, not \(seconds)")
        }
        return .milliseconds(Int64((seconds * 1000).rounded(.up)))
    }
}
