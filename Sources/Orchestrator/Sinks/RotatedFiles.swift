import CLinux
import Foundation

/// The files an event file has become: `agent_action.00000000000000004711.jsonl`, named after the sequence of their last
/// event. The name never changes again, so a reader that keeps a file's name and an offset finds both after any time, and
/// `agent_action*.jsonl` lists all of them, and then the file itself, in the events' order.
struct RotatedFiles {
    private let directory: String
    private let stem: String
    private let suffix: String

    /// - Parameter path: of the event file itself.
    init(of path: String) {
        let path = path as NSString
        directory = path.deletingLastPathComponent
        let name = path.lastPathComponent as NSString
        stem = name.deletingPathExtension
        suffix = name.pathExtension.isEmpty ? "" : "." + name.pathExtension
    }

    /// - Parameter copy: from 2, when another ledger left a file of that name.
    func name(last sequence: UInt64, copy: Int = 1) -> String {
        let digits = String(sequence)
        let number = String(repeating: "0", count: 20 - digits.count) + digits
        return stem + "." + number + (copy > 1 ? "-\(copy)" : "") + suffix
    }

    /// Moves the event file away. It is there under one of the two names at any moment, and replaces no other.
    ///
    /// - Throws: `unavailable`.
    func take(_ path: String, last sequence: UInt64) throws(OrchestratorError) {
        for copy in 1...1000 {
            let target = (directory as NSString).appendingPathComponent(name(last: sequence, copy: copy))
            if clinux_rename_exclusively(path, target) == 0 { return }
            if errno == EINVAL || errno == ENOSYS {
                // The file system can't rename that way; this process is the only one that writes here.
                if access(target, F_OK) == 0 { continue }
                if rename(path, target) == 0 { return }
            }
            guard errno == EEXIST else {
                throw OrchestratorError(
                    .unavailable, "can't rename \(path) to \(target): \(String(cString: strerror(errno)))")
            }
        }
        throw OrchestratorError(
            .unavailable, "can't rename \(path): \(name(last: sequence)) is there a thousand times; move old files away"
        )
    }

    /// Paths, the oldest first.
    func all() -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        return names.filter(isOurs)
            .map { (directory as NSString).appendingPathComponent($0) }
            .map { (path: $0, time: modified($0)) }
            .sorted { ($0.time, $0.path) < ($1.time, $1.path) }
            .map(\.path)
    }

    /// Removes all but the newest `count`.
    func keep(_ count: Int) {
        for path in all().dropLast(count) { unlink(path) }
    }

    private func isOurs(_ name: String) -> Bool {
        guard name.hasPrefix(stem + "."), name.hasSuffix(suffix),
            name.utf8.count >= stem.utf8.count + 21 + suffix.utf8.count
        else { return false }
        let middle = name.dropFirst(stem.count + 1).dropLast(suffix.count)
        return middle.prefix(20).utf8.allSatisfy { (48...57).contains($0) }
            && (middle.count == 20 || (middle.dropFirst(20).first == "-" && Int(middle.dropFirst(21)) != nil))
    }

    private func modified(_ path: String) -> Int64 {
        var status = stat()
        guard stat(path, &status) == 0 else { return 0 }
        return Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec)
    }
}
