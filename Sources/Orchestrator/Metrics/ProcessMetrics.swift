import Foundation

/// What the kernel says about this process, under the names every Prometheus client library uses.
public enum ProcessMetrics {
    /// A collector for `MetricsRegistry`. A number the kernel does not tell (no /proc) is left out.
    public static func families() -> [MetricFamily] {
        var families: [MetricFamily] = []
        let ticks = Double(max(sysconf(Int32(_SC_CLK_TCK)), 1))
        let page = Double(max(sysconf(Int32(_SC_PAGESIZE)), 1))
        if let stat = text("/proc/self/stat").flatMap(ProcessStat.init(parsing:)) {
            families.append(
                MetricFamily(
                    name: "process_cpu_seconds_total", help: "User and system CPU time spent, in seconds.",
                    kind: .counter, value: Double(stat.userTicks + stat.systemTicks) / ticks))
            families.append(
                MetricFamily(
                    name: "process_resident_memory_bytes", help: "Memory held in RAM, in bytes.", kind: .gauge,
                    value: Double(stat.residentPages) * page))
            families.append(
                MetricFamily(
                    name: "process_virtual_memory_bytes", help: "Address space, in bytes.", kind: .gauge,
                    value: Double(stat.virtualBytes)))
            families.append(
                MetricFamily(
                    name: "process_threads", help: "Threads of the process.", kind: .gauge,
                    value: Double(stat.threads)))
            if let boot = text("/proc/stat").flatMap(ProcessStat.bootTime(parsing:)) {
                families.append(
                    MetricFamily(
                        name: "process_start_time_seconds", help: "When the process started, in seconds since 1970.",
                        kind: .gauge, value: Double(boot) + Double(stat.startTicks) / ticks))
            }
        }
        if let descriptors = try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd") {
            families.append(
                MetricFamily(
                    name: "process_open_fds", help: "Open file descriptors.", kind: .gauge,
                    value: Double(descriptors.count)))
        }
        var limit = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
            families.append(
                MetricFamily(
                    name: "process_max_fds", help: "How many file descriptors may be open.", kind: .gauge,
                    value: Double(limit.rlim_cur)))
        }
        return families
    }

    /// Always 1; the labels say what is running.
    public static func buildInfo(version: String) -> MetricFamily {
        MetricFamily(
            name: "orchestrator_build_info", help: "What is running; the value is always 1.", kind: .gauge,
            samples: [MetricSample(labels: [MetricLabel("version", version)], value: .number(1))])
    }

    private static func text(_ path: String) -> String? {
        FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) }
    }
}

/// The fields of /proc/self/stat that are told, by their place in proc(5).
struct ProcessStat: Equatable {
    var userTicks: UInt64
    var systemTicks: UInt64
    var threads: UInt64
    /// Since the machine started.
    var startTicks: UInt64
    var virtualBytes: UInt64
    var residentPages: UInt64

    /// nil when the text is not what proc(5) promises.
    init?(parsing text: String) {
        // The second field is the program's name in parentheses, and may itself hold spaces and parentheses.
        guard let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split { $0 == " " || $0 == "\n" }
        // fields[0] is the third one in proc(5)'s count.
        guard fields.count >= 22, let user = UInt64(fields[11]), let system = UInt64(fields[12]),
            let threads = UInt64(fields[17]), let start = UInt64(fields[19]), let virtual = UInt64(fields[20]),
            let resident = UInt64(fields[21])
        else { return nil }
        self.userTicks = user
        self.systemTicks = system
        self.threads = threads
        self.startTicks = start
        self.virtualBytes = virtual
        self.residentPages = resident
    }

    /// Seconds since 1970 at which the machine started: the `btime` line of /proc/stat.
    static func bootTime(parsing text: String) -> UInt64? {
        for line in text.split(separator: "\n") where line.hasPrefix("btime ") { return UInt64(line.dropFirst(6)) }
        return nil
    }
}
