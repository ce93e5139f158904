/// A job's id with its hash, which is computed once: in a table of many jobs, to hash or to compare a text at every step
/// of a search is to fetch it from memory.
struct JobKey: Hashable, Sendable {
    let id: String
    /// Seeded for each process: nobody outside can choose ids that collide.
    let hash: Int

    init(_ id: String) { self.init(id, hash: id.hashValue) }

    /// For a test that wants hashes to collide.
    init(_ id: String, hash: Int) {
        self.id = id
        self.hash = hash
    }

    static func == (left: JobKey, right: JobKey) -> Bool { left.hash == right.hash && left.id == right.id }

    func hash(into hasher: inout Hasher) { hasher.combine(hash) }
}
