/// Values by job id, for very many jobs: open addressing with linear probing. A search goes through the hashes alone, which
/// lie side by side, and touches an id only where its hash is the one looked for; growth uses the hashes that are there.
struct JobTable<Value> {
    private typealias Entry = (id: String, value: Value)

    /// 0 is an empty place. As many as entries: a power of two, or none.
    private var hashes: [Int] = []
    private var entries: [Entry?] = []
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    /// In no order.
    var values: some Sequence<Value> { entries.lazy.compactMap { $0?.value } }

    subscript(key: JobKey) -> Value? {
        get { find(key).flatMap { entries[$0]?.value } }
        set {
            if let newValue { insert(newValue, for: key) } else { removeValue(forKey: key) }
        }
    }

    /// Makes room for so many at once.
    mutating func reserveCapacity(_ capacity: Int) {
        while !Self.fits(capacity, in: hashes.count) { grow() }
    }

    @discardableResult
    mutating func removeValue(forKey key: JobKey) -> Value? {
        guard var hole = find(key) else { return nil }
        let removed = entries[hole]?.value
        entries[hole] = nil
        hashes[hole] = 0
        count -= 1
        // Those behind it that were displaced move up, so that no search ends at the hole.
        var index = (hole + 1) & mask
        while hashes[index] != 0 {
            let distanceFromHome = (index &- hashes[index]) & mask
            if distanceFromHome >= (index &- hole) & mask {
                hashes.swapAt(hole, index)
                entries.swapAt(hole, index)
                hole = index
            }
            index = (index + 1) & mask
        }
        return removed
    }

    private var mask: Int { hashes.count - 1 }

    /// At most three quarters are taken.
    private static func fits(_ count: Int, in places: Int) -> Bool { count <= places / 4 * 3 }

    private static func hash(of key: JobKey) -> Int { key.hash == 0 ? 1 : key.hash }

    private func find(_ key: JobKey) -> Int? {
        if hashes.isEmpty { return nil }
        let hash = Self.hash(of: key)
        var index = hash & mask
        while hashes[index] != 0 {
            if hashes[index] == hash, entries[index]?.id == key.id { return index }
            index = (index + 1) & mask
        }
        return nil
    }

    private mutating func insert(_ value: Value, for key: JobKey) {
        if let index = find(key) {
            entries[index] = (key.id, value)
            return
        }
        if !Self.fits(count + 1, in: hashes.count) { grow() }
        let hash = Self.hash(of: key)
        let index = Self.free(for: hash, in: hashes)
        hashes[index] = hash
        entries[index] = (key.id, value)
        count += 1
    }

    private static func free(for hash: Int, in hashes: [Int]) -> Int {
        let mask = hashes.count - 1
        var index = hash & mask
        while hashes[index] != 0 { index = (index + 1) & mask }
        return index
    }

    private mutating func grow() {
        let places = max(16, 2 * hashes.count)
        var newHashes = [Int](repeating: 0, count: places)
        var newEntries = [Entry?](repeating: nil, count: places)
        for index in hashes.indices where hashes[index] != 0 {
            let target = Self.free(for: hashes[index], in: newHashes)
            newHashes[target] = hashes[index]
            swap(&newEntries[target], &entries[index])
        }
        hashes = newHashes
        entries = newEntries
    }
}
