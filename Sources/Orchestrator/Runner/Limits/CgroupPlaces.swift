/// Where a process's own control groups are in the file system, from what the kernel says of it.
struct CgroupPlaces: Equatable {
    /// Of cgroup v2.
    var unified: String?
    /// Of version 1, by controller.
    var version1: [String: String] = [:]

    /// - Parameters:
    ///   - groups: the text of /proc/self/cgroup, lines of `id:controllers:path` (cgroups(7)).
    ///   - mounts: the text of /proc/self/mountinfo (proc_pid_mountinfo(5)).
    init(groups: String, mounts: String) {
        var paths: [String: String] = [:]
        for line in groups.split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            for controller in fields[1].split(separator: ",", omittingEmptySubsequences: false) {
                paths[String(controller)] = String(fields[2])
            }
        }
        for line in mounts.split(separator: "\n") {
            // 36 35 98:0 /root /mount options … - type source options
            let fields = line.split(separator: " ").map(String.init)
            guard let dash = fields.firstIndex(of: "-"), dash >= 6, fields.count > dash + 3 else { continue }
            let (root, mount) = (fields[3], Self.unescaped(fields[4]))
            switch fields[dash + 1] {
            case "cgroup2":
                if unified == nil { unified = paths[""].flatMap { Self.place($0, root: root, mount: mount) } }
            case "cgroup":
                for controller in fields[dash + 3].split(separator: ",").map(String.init) {
                    guard let path = paths[controller], version1[controller] == nil else { continue }
                    version1[controller] = Self.place(path, root: root, mount: mount)
                }
            default: break
            }
        }
    }

    /// A mount may show a part of the tree only, as in a container; nil when the group is outside of it.
    private static func place(_ path: String, root: String, mount: String) -> String? {
        var below = path[...]
        if root != "/" {
            guard path == root || path.hasPrefix(root + "/") else { return nil }
            below = path.dropFirst(root.count)
        }
        return below == "/" || below.isEmpty ? mount : mount + below
    }

    /// Spaces and the like stand as octal numbers.
    private static func unescaped(_ text: String) -> String {
        text.replacing("\\040", with: " ").replacing("\\011", with: "\t").replacing("\\134", with: "\\")
    }
}
