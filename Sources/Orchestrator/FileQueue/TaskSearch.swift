import Glibc

/// Looks for tasks that other servers may have, by the names of files first. Only for one that is not found by its name
/// are files opened: a task's id need not be its file's name.
struct TaskSearch {
    /// Files opened in one look, so that a long `pending/` is read in parts.
    static let readsPerLook = 256

    struct Finding {
        /// In none of `pending/`, `claimed/` and `failed/`.
        var missing: Set<String>
        /// Those in `failed/`, with the reason.
        var refused: [String: String] = [:]
        /// Some file could not be opened yet, and may be one of them.
        var isPartial = false
    }

    let directories: QueueDirectories
    let maxFileBytes: Int
    /// Ids by path, of files whose name is not one that was looked for; nil for what is no task.
    private var read: [String: String?] = [:]

    init(_ directories: QueueDirectories, maxFileBytes: Int) {
        self.directories = directories
        self.maxFileBytes = maxFileBytes
    }

    /// - Parameter wanted: ids, with the time since when they may have been refused.
    mutating func look(for wanted: [String: Timestamp]) throws(SystemError) -> Finding {
        // In the order in which a task goes on, so that one on its way is met.
        var finding = Finding(
            missing: Set(wanted.keys.filter { !WholeFile.exists("\(directories.pending)/\($0).json") }))
        var others: [String] = []
        if !finding.missing.isEmpty { others = try searchClaims(&finding.missing, wanted) }
        for id in finding.missing {
            guard let since = wanted[id], let why = refusal(of: id, since: since) else { continue }
            finding.refused[id] = why
            finding.missing.remove(id)
        }
        if finding.missing.isEmpty {
            read = [:]
        } else {
            others += try names(directories.pending).map { "\(directories.pending)/\($0)" }
            readThrough(others, &finding)
        }
        return finding
    }

    /// Returns the claims that have other names.
    private func searchClaims(
        _ missing: inout Set<String>, _ wanted: [String: Timestamp]
    ) throws(SystemError) -> [String] {
        var others: [String] = []
        for owner in try names(directories.claimed) {
            // Claims of a version that had no owners are files here.
            let files = QueueDirectories.stem(of: owner) == nil ? try names("\(directories.claimed)/\(owner)") : [""]
            for file in files {
                let path = file.isEmpty ? owner : "\(owner)/\(file)"
                guard let id = QueueDirectories.stem(of: file.isEmpty ? owner : file) else { continue }
                missing.remove(id)
                if wanted[id] == nil { others.append("\(directories.claimed)/\(path)") }
            }
        }
        return others
    }

    /// Why another server put it into `failed/`; nil when it did not, or long ago.
    private func refusal(of id: String, since: Timestamp) -> String? {
        // As many as one name plausibly has.
        for number in 0..<64 {
            let path = "\(directories.failed)/\(id)\(number == 0 ? "" : ".\(number)").json.error"
            guard let facts = try? WholeFile.facts(path) else { return nil }
            if facts.modified < since.nanoseconds { continue }
            guard let text = try? WholeFile.read(path, limit: 1_024) else { return nil }
            return String(decoding: text, as: UTF8.self).split(separator: "\n").first.map { String($0) } ?? ""
        }
        return nil
    }

    private mutating func readThrough(_ paths: [String], _ finding: inout Finding) {
        var known: [String: String?] = [:]
        var reads = 0
        for path in paths {
            let id: String?
            if let before = read[path] {
                id = before
            } else if reads < Self.readsPerLook {
                reads += 1
                let stem = path.split(separator: "/").last.flatMap { QueueDirectories.stem(of: String($0)) }
                id = (try? WholeFile.read(path, limit: maxFileBytes))
                    .flatMap { try? QueueTask.parse($0, stem: stem).id }
            } else {
                finding.isPartial = true
                continue
            }
            known[path] = .some(id)
            if let id { finding.missing.remove(id) }
        }
        read = known
    }

    /// Visible names; none when the directory is not there.
    private func names(_ directory: String) throws(SystemError) -> [String] {
        do {
            return try WholeFile.names(in: directory).filter { !$0.hasPrefix(".") }
        } catch  where error.code == ENOENT || error.code == ENOTDIR {
            return []
        }
    }
}
