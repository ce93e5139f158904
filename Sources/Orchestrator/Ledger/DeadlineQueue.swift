import HeapModule

/// Open jobs with a deadline, by when it passes. A heap has no removal in the middle: what left stays in it until it comes
/// up, or until most of the heap is of that kind and it is made anew, so that it follows the open jobs and not history.
struct DeadlineQueue {
    private struct Entry: Comparable {
        var time: Timestamp
        var id: String

        static func < (left: Entry, right: Entry) -> Bool { left.time < right.time }
    }

    private var heap = Heap<Entry>()
    private var current: [String: Timestamp] = [:]

    /// Open jobs in it.
    var count: Int { current.count }
    /// Entries held, those that count no more among them.
    var heldEntries: Int { heap.count }

    mutating func set(_ id: String, _ time: Timestamp) {
        if current[id] == time { return }
        current[id] = time
        heap.insert(Entry(time: time, id: id))
    }

    mutating func remove(_ id: String) {
        guard current.removeValue(forKey: id) != nil, heap.count > 2 * current.count + 64 else { return }
        heap = Heap(current.map { Entry(time: $0.value, id: $0.key) })
    }

    /// When the next one passes.
    var nextTime: Timestamp? {
        mutating get {
            while let first = heap.min, current[first.id] != first.time { heap.removeMin() }
            return heap.min?.time
        }
    }

    /// Those that have passed, the earliest first. They stay until they are removed.
    mutating func passed(by now: Timestamp, limit: Int) -> [String] {
        var passed: [Entry] = []
        while passed.count < limit, let time = nextTime, time <= now, let first = heap.popMin() { passed.append(first) }
        heap.insert(contentsOf: passed)
        return passed.map(\.id)
    }
}
