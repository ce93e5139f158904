import Foundation
import Glibc

/// How much the machine has to do beyond what it can: shares of the last ten seconds in which something stood still for
/// want of it (PSI, Documentation/accounting/psi.rst of Linux), and the load for each processor. nil where the kernel
/// does not tell.
struct MachinePressure: Sendable, Equatable {
    /// From 0 to 1: some task waited for a processor.
    var cpu: Double?
    /// From 0 to 1: some task waited for memory.
    var memory: Double?
    /// Of one minute, for each processor.
    var load: Double?

    /// Less must run: memory is being fought for, or many times the processors are wanted.
    var isTooMuch: Bool { (memory ?? 0) > 0.2 || (load ?? 0) > 8 }

    /// Nothing more should run.
    var isHigh: Bool {
        if (memory ?? 0) > 0.05 { return true }
        // With PSI at hand the load, which counts what waits for disks too, is not asked.
        if let cpu { return cpu > 0.8 }
        return (load ?? 0) > 2
    }

    @Sendable static func now() -> MachinePressure {
        let text = { (path: String) in
            String(decoding: (try? WholeFile.read(path, limit: 4096)) ?? [], as: UTF8.self)
        }
        return MachinePressure(
            cpu: text("/proc/pressure/cpu"), memory: text("/proc/pressure/memory"), load: text("/proc/loadavg"),
            processors: ProcessInfo.processInfo.activeProcessorCount)
    }

    init(cpu: Double? = nil, memory: Double? = nil, load: Double? = nil) {
        self.cpu = cpu
        self.memory = memory
        self.load = load
    }

    /// From the texts of the files in /proc.
    init(cpu: String, memory: String, load: String, processors: Int) {
        self.cpu = Self.some(cpu)
        self.memory = Self.some(memory)
        self.load = load.split(separator: " ").first.flatMap { Double($0) }.map { $0 / Double(max(1, processors)) }
    }

    /// "some avg10=1.23 avg60=…": per cent.
    private static func some(_ text: String) -> Double? {
        guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("some ") }),
            let field = line.split(separator: " ").first(where: { $0.hasPrefix("avg10=") })
        else { return nil }
        return Double(field.dropFirst(6)).map { $0 / 100 }
    }
}
