import Glibc

/// The control groups below which attempts get groups of their own (cgroups(7)): version 2's one directory, or those of
/// version 1's controllers that this server may write.
public struct CgroupParents: Sendable, Equatable {
    public var unified: String?
    public var memory: String?
    public var pids: String?
    public var cpu: String?

    public init(unified: String? = nil, memory: String? = nil, pids: String? = nil, cpu: String? = nil) {
        self.unified = unified
        self.memory = memory
        self.pids = pids
        self.cpu = cpu
    }

    /// None: memory and processes are then held by looking every 50 ms, processors by choosing whole ones.
    public static let none = CgroupParents()

    /// For the supervisor.
    var arguments: [String] {
        if let unified { return ["--cgroup2", unified] }
        return [("--cgroup1-memory", memory), ("--cgroup1-pids", pids), ("--cgroup1-cpu", cpu)]
            .flatMap { option, path in path.map { [option, $0] } ?? [] }
    }

    /// What holds what, for the log.
    public var summary: String {
        if let unified { return "cgroup v2 in \(unified)" }
        let held = [("memory", memory), ("processes", pids), ("cpus", cpu)].filter { $0.1 != nil }.map(\.0)
        return held.isEmpty
            ? "no writable cgroup: rlimits and looks every 50 ms" : "cgroup v1 for " + held.joined(separator: ", ")
    }

    /// The directory's name below the server's own group.
    private static let name = "dspy-jobs"

    /// Makes the parents below this process's own groups, where it may. Never fails: what can't be made is absent.
    @Sendable public static func prepare() -> CgroupParents {
        let text = { (path: String) in
            String(decoding: (try? WholeFile.read(path, limit: 1 << 20)) ?? [], as: UTF8.self)
        }
        let places = CgroupPlaces(groups: text("/proc/self/cgroup"), mounts: text("/proc/self/mountinfo"))
        if let own = places.unified, let parent = prepareUnified(own) { return CgroupParents(unified: parent) }
        func version1(_ controller: String, _ file: String) -> String? {
            guard let own = places.version1[controller] else { return nil }
            let parent = "\(own)/\(name)"
            guard (try? WholeFile.makeDirectory(parent, mode: 0o755)) != nil, access("\(parent)/\(file)", W_OK) == 0
            else { return nil }
            sweep(parent)
            return parent
        }
        return CgroupParents(
            memory: version1("memory", "memory.limit_in_bytes"), pids: version1("pids", "pids.max"),
            cpu: version1("cpu", "cpu.cfs_quota_us"))
    }

    /// A group with controllers can't hold processes and groups with controllers at once, so the server goes into one
    /// beside its jobs'. Only where it is alone in its group: one that systemd delegated, or a container's own.
    private static func prepareUnified(_ own: String) -> String? {
        let wanted = ["memory", "pids", "cpu"]
        func words(_ path: String) -> [String] {
            String(decoding: (try? WholeFile.read(path, limit: 4096)) ?? [], as: UTF8.self).split {
                $0 == " " || $0 == "\n"
            }
            .map(String.init)
        }
        guard Set(words("\(own)/cgroup.controllers")).isSuperset(of: wanted) else { return nil }
        func enable(_ group: String) -> Bool {
            Set(words("\(group)/cgroup.subtree_control")).isSuperset(of: wanted)
                || put("+memory +pids +cpu", "\(group)/cgroup.subtree_control")
        }
        let parent = "\(own)/\(name)"
        guard (try? WholeFile.makeDirectory(parent, mode: 0o755)) != nil else { return nil }
        if !enable(own) {
            let server = "\(own)/dspy-server"
            guard words("\(own)/cgroup.procs") == [String(getpid())],
                (try? WholeFile.makeDirectory(server, mode: 0o755)) != nil, put("0", "\(server)/cgroup.procs"),
                enable(own)
            else { return nil }
        }
        guard enable(parent) else { return nil }
        sweep(parent)
        return parent
    }

    /// Removes the groups of attempts whose supervisors were killed: `attempt-<pid>-<time>`. Other servers may have theirs
    /// here too, and one is empty until its command is in it.
    private static func sweep(_ parent: String) {
        for name in (try? WholeFile.names(in: parent)) ?? [] {
            let parts = name.split(separator: "-")
            guard parts.count == 3, parts[0] == "attempt", let supervisor = pid_t(parts[1]),
                kill(supervisor, 0) != 0, errno == ESRCH
            else { continue }
            rmdir("\(parent)/\(name)")
        }
    }

    private static func put(_ text: String, _ path: String) -> Bool {
        let file = open(path, O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { return false }
        defer { close(file) }
        return text.withCString { Glibc.write(file, $0, strlen($0)) } >= 0
    }
}
