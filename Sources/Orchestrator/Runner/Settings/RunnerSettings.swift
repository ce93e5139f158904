/// What the configuration file says about running jobs; Documentation/runner.md describes each setting.
public struct RunnerSettings: Sendable, Equatable {
    public var handlers = Handlers()
    /// Most that an attempt of a class may use. Default: no limits.
    public var limits: [JobClass: ResourceLimits] = [:]
    /// Default: none.
    public var sandboxes: [JobClass: Sandbox] = [:]
    /// Whether attempts get control groups where the server may make them. Default true.
    public var usesCgroups = true
    public var gpus = GPUDevices.Setting.auto
    /// How many attempts run at once, between the two numbers. A class that is not named keeps its one number.
    public var concurrency: [JobClass: ConcurrencyRange] = [:]
    /// Variables of the server's environment that jobs see; nil is the runner's default.
    public var inheritedVariables: [String]?
    /// Bytes kept of each output stream of an attempt; nil is the runner's default.
    public var outputCap: Int64?

    public init() {}

    /// The section `runner`.
    mutating func read(_ node: SettingNode) throws(OrchestratorError) {
        let known = ["limits", "sandbox", "cgroups", "gpus", "concurrency", "inherit_env", "output_cap"]
        for (key, node) in try node.members(known) {
            switch key {
            case "limits":
                limits = try node.byClass { node throws(OrchestratorError) in try ResourceLimits(node) }
            case "sandbox":
                sandboxes = try node.byClass { node throws(OrchestratorError) in try Sandbox(node) }
                    .compactMapValues { $0 }
            case "cgroups": usesCgroups = try node.bool()
            case "gpus": gpus = try GPUDevices.Setting(node)
            case "concurrency":
                concurrency = try node.byClass { node throws(OrchestratorError) in try ConcurrencyRange(node) }
            case "inherit_env": inheritedVariables = try node.strings()
            default: outputCap = Int64(try node.bytes())
            }
        }
    }
}

extension ResourceLimits {
    fileprivate init(_ node: SettingNode) throws(OrchestratorError) {
        self.init()
        for (key, value) in try node.members(["cpus", "memory", "processes", "file_size", "open_files"]) {
            switch key {
            case "cpus": cpus = try value.number(0.01...100_000)
            case "memory": memoryBytes = try value.bytes()
            case "processes": processes = UInt32(try value.count(1...1_000_000))
            case "file_size": fileBytes = try value.bytes()
            default: openFiles = UInt32(try value.count(8...1_000_000))
            }
        }
    }
}

extension Sandbox {
    /// nil for `none`, or `{mode: landlock, …}`.
    fileprivate init?(_ node: SettingNode) throws(OrchestratorError) {
        self.init()
        if let word = try? node.string() {
            switch word {
            case "none": return nil
            case "landlock": return
            default: throw node.wrong("none, landlock, or a mapping with a mode")
            }
        }
        for (key, value) in try node.members(["mode", "readable", "writable", "network"]) {
            switch key {
            case "mode":
                switch try value.string() {
                case "none": return nil
                case "landlock": break
                default: throw value.wrong("none or landlock")
                }
            case "readable": readable = try Self.paths(value)
            case "writable": writable = try Self.paths(value)
            default: allowsNetwork = try value.bool()
            }
        }
    }

    private static func paths(_ node: SettingNode) throws(OrchestratorError) -> [String] {
        let paths = try node.strings()
        guard paths.allSatisfy({ $0.hasPrefix("/") }), paths.count <= 24 else {
            throw node.wrong("a list of at most 24 absolute paths")
        }
        return paths
    }
}

extension ConcurrencyRange {
    /// `8`, or `{min: 1, max: 16}`.
    fileprivate init(_ node: SettingNode) throws(OrchestratorError) {
        if let fixed = try? node.count(1...100_000) {
            self.init(floor: fixed, ceiling: fixed)
            return
        }
        var (floor, ceiling) = (1, 0)
        for (key, value) in try node.members(["min", "max"]) {
            if key == "min" { floor = try value.count(1...100_000) } else { ceiling = try value.count(1...100_000) }
        }
        guard ceiling >= floor else { throw node.wrong("a range with a max that is not below its min") }
        self.init(floor: floor, ceiling: ceiling)
    }
}

extension GPUDevices.Setting {
    /// `auto`, `none`, a number, or a list of devices.
    fileprivate init(_ node: SettingNode) throws(OrchestratorError) {
        if let devices = try? node.strings() {
            guard Set(devices).count == devices.count, devices.allSatisfy({ !$0.contains(",") }) else {
                throw node.wrong("a list of different devices")
            }
            self = .devices(devices)
            return
        }
        switch try node.string() {
        case "auto": self = .auto
        case "none": self = .devices([])
        default: self = .devices((0..<(try node.count(0...1024))).map(String.init))
        }
    }
}
