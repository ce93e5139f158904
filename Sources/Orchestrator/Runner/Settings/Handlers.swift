/// A command of the server's own that jobs ask for by name.
public struct Handler: Sendable, Equatable {
    public enum Mode: Sendable, Equatable {
        /// A process for each job, with the payload on its standard input.
        case process
        /// A process that takes one job after another (Documentation/workers.md).
        case worker(WorkerRules)
    }

    public var name: String
    /// The program, then its arguments; never empty.
    public var command: [String]
    public var mode: Mode
    public var environment: [String: String]
    /// An absolute path; nil is a directory of the attempt's, or of the worker's.
    public var workingDirectory: String?
    /// Of one job that names none; nil is the class's.
    public var timeout: Duration?

    public init(
        name: String, command: [String], mode: Mode = .process, environment: [String: String] = [:],
        workingDirectory: String? = nil, timeout: Duration? = nil
    ) {
        self.name = name
        self.command = command
        self.mode = mode
        self.environment = environment
        self.workingDirectory = workingDirectory
        self.timeout = timeout
    }
}

/// When a worker is replaced by a new one.
public struct WorkerRules: Sendable, Equatable {
    /// Jobs that one worker does. Default 1000.
    public var mostTasks = 1000
    /// Bytes that it may have grown since it was ready, looked at after each job; nil is no limit. Default 1 GiB.
    public var mostGrowth: UInt64? = 1 << 30
    /// For its start until it says that it is ready. Default 2 minutes.
    public var startTimeout = Duration.seconds(120)
    /// Without a job, before it is ended. Default 5 minutes.
    public var idleTimeout = Duration.seconds(300)

    public init() {}
}

/// The handlers by name, and which one a job without a command gets.
public struct Handlers: Sendable, Equatable {
    public var byName: [String: Handler]
    public var defaults: [JobClass: String]

    public init(byName: [String: Handler] = [:], defaults: [JobClass: String] = [:]) {
        self.byName = byName
        self.defaults = defaults
    }

    init(_ node: SettingNode) throws(OrchestratorError) {
        self.init()
        for (name, value) in try node.members() {
            guard !name.isEmpty, name.utf8.count <= 100, AttemptDirectory.isSafeFileName(name) else {
                throw .invalidArgument(
                    "config",
                    "handlers.\(name): a handler's name has up to 100 letters, digits and the like, no space or \"/\"")
            }
            try add(name, value)
        }
    }

    private mutating func add(_ name: String, _ node: SettingNode) throws(OrchestratorError) {
        var handler = Handler(name: name, command: [])
        var isWorker = false
        var rules = WorkerRules()
        let known = [
            "command", "mode", "env", "cwd", "timeout_seconds", "default_for", "max_tasks", "max_growth",
            "start_timeout_seconds", "idle_timeout_seconds",
        ]
        for (key, value) in try node.members(known) {
            switch key {
            case "command": handler.command = try value.strings()
            case "mode":
                switch try value.string() {
                case "process": isWorker = false
                case "worker": isWorker = true
                default: throw value.wrong("process or worker")
                }
            case "env":
                for (variable, text) in try value.members() {
                    guard !variable.contains("=") else { throw text.wrong("a variable without \"=\" in its name") }
                    handler.environment[variable] = (try? text.string()) ?? ""
                }
            case "cwd": handler.workingDirectory = try value.path()
            case "timeout_seconds": handler.timeout = try value.seconds(0.001...31_536_000)
            case "default_for":
                for word in try value.strings() {
                    guard let jobClass = JobClass.allCases.first(where: { $0.word == word && $0.isLocal }) else {
                        throw value.wrong("a list of cpu_short, cpu_long, gpu")
                    }
                    guard defaults[jobClass] == nil else {
                        throw .invalidArgument(
                            "config",
                            "\(value.path): class \(word) has the default handler \(defaults[jobClass] ?? "") already")
                    }
                    defaults[jobClass] = name
                }
            case "max_tasks": rules.mostTasks = try value.count(1...1_000_000_000)
            case "max_growth": rules.mostGrowth = try value.bytes()
            case "start_timeout_seconds": rules.startTimeout = try value.seconds(0.1...86_400)
            default: rules.idleTimeout = try value.seconds(0.1...31_536_000)
            }
        }
        guard !handler.command.isEmpty else {
            throw .invalidArgument(
                "config", "\(node.path).command: it is missing; give a list such as [python3, -m, my_package]")
        }
        if isWorker { handler.mode = .worker(rules) }
        byName[name] = handler
    }
}
