/// The four directories of a file queue, and the names in them.
struct QueueDirectories: Sendable {
    let pending: String
    let claimed: String
    let done: String
    let failed: String

    init(_ directory: String) {
        pending = directory + "/pending"
        claimed = directory + "/claimed"
        done = directory + "/done"
        failed = directory + "/failed"
    }

    var all: [String] { [pending, claimed, done, failed] }

    func create() throws(SystemError) {
        for directory in all { try WholeFile.makeDirectories(directory) }
    }

    /// Whether a file in `pending/` offers itself as a task. Others are somebody's temporary files.
    static func isTaskName(_ name: String) -> Bool {
        name.hasSuffix(".json") && !name.hasPrefix(".") && name != ".json"
    }

    /// The name without ".json", and without the number that a second claim of the same name gets: the id of a task that
    /// names none. The same before and after the claim, so that a task submitted again is the same job.
    static func stem(of name: String) -> String? {
        var stem = name[...]
        if !stem.hasSuffix(".json"), let dot = stem.lastIndex(of: "."),
            let number = Int(stem[stem.index(after: dot)...]),
            number > 0
        {
            stem = stem[..<dot]
        }
        guard stem.hasSuffix(".json") else { return nil }
        return String(stem.dropLast(5))
    }

    /// "a.json", then "a.json.1", …: the first that is free among the owner's claims.
    static func claimName(for name: String, isFree: (String) -> Bool) -> String {
        if isFree(name) { return name }
        // A number must fit behind it. What is cut off is of no use: an id is shorter.
        let name = name.utf8.count > longest ? short(name) + ".json" : name
        var number = 1
        while !isFree("\(name).\(number)") { number += 1 }
        return "\(name).\(number)"
    }

    /// Bytes of a name that leave room for what is put around it, of the 255 that file systems take.
    private static let longest = 200

    private static func short(_ name: String) -> String {
        if name.utf8.count <= longest { return name }
        var short = name
        while short.utf8.count > longest { short.removeLast() }
        return short
    }

    /// "a.json", then "a.1.json", …: the first that is free in `failed/`.
    static func refusalName(for name: String, isFree: (String) -> Bool) -> String {
        let stem = short(stem(of: name) ?? name)
        var candidate = stem + ".json"
        var number = 1
        while !isFree(candidate) {
            candidate = "\(stem).\(number).json"
            number += 1
        }
        return candidate
    }
}
