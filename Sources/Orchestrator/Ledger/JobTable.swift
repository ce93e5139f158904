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
        var places = hashes.count
        while !Self.fits(capacity, in: places) { places = Self.more(than: places) }
        if places > hashes.count { grow(to: places) }
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

    private static func more(than places: Int) -> Int { max(16, 2 * places) }

    private func find(_ key: JobKey) -> Int? {
        if hashes.isEmpty { return nil }
        let index = place(for: key)
        return hashes[index] == 0 ? nil : index
    }

    /// Where it is, or else the empty place where it would be.
    private func place(for key: JobKey) -> Int {
        let hash = Self.hash(of: key)
        var index = hash & mask
        while hashes[index] != 0, hashes[index] != hash || entries[index]?.id != key.id { index = (index + 1) & mask }
        return index
    }

    private mutating func insert(_ value: Value, for key: JobKey) {
        if !Self.fits(count + 1, in: hashes.count) { grow(to: Self.more(than: hashes.count)) }
        let index = place(for: key)
        if hashes[index] == 0 {
            hashes[index] = Self.hash(of: key)
            count += 1
        }
        entries[index] = (key.id, value)
    }

    private mutating func grow(to places: Int) {
        var newHashes = [Int](repeating: 0, count: places)
        var newEntries = [Entry?](repeating: nil, count: places)
        for index in hashes.indices where hashes[index] != 0 {
            var target = hashes[index] & (places - 1)
            while newHashes[target] != 0 { target = (target + 1) & (places - 1) }
            newHashes[target] = hashes[index]
            swap(&newEntries[target], &entries[index])
        }
        hashes = newHashes
        entries = newEntries
    }
}
