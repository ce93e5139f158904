import CLinux
import Glibc

/// A process, told from a later one with the same pid by when it started.
struct ProcessIdentity: Sendable, Equatable {
    var pid: pid_t
    /// Clock ticks since the machine started (proc_pid_stat(5), field 22).
    var startTicks: UInt64

    /// The supervisor's file `pid`: "<pid> <ticks>".
    init?(parsing text: [UInt8]) {
        let fields = String(decoding: text, as: UTF8.self).split { $0 == " " || $0 == "\n" }
        guard fields.count == 2, let pid = pid_t(fields[0]), pid > 0, let ticks = UInt64(fields[1]) else { return nil }
        self.pid = pid
        self.startTicks = ticks
    }

    /// The text of `/proc/<pid>/stat`. The second field may hold anything, but ends at the last parenthesis.
    init?(pid: pid_t, stat text: [UInt8]) {
        guard let close = text.lastIndex(of: UInt8(ascii: ")")) else { return nil }
        let fields = String(decoding: text[(close + 1)...], as: UTF8.self).split(separator: " ")
        // fields[0] is the third.
        guard fields.count > 19, let ticks = UInt64(fields[19]) else { return nil }
        self.pid = pid
        self.startTicks = ticks
    }

    /// A descriptor of this very process, to wait on and to signal; nil when it is gone. The caller closes it.
    func open() -> Int32? {
        let descriptor = clinux_pidfd_open(pid)
        guard descriptor >= 0 else { return nil }
        // After opening: from here on the number can't move to another process unnoticed.
        guard let text = try? WholeFile.read("/proc/\(pid)/stat", limit: 4096),
            let found = ProcessIdentity(pid: pid, stat: text), found == self
        else {
            close(descriptor)
            return nil
        }
        return descriptor
    }
}
