import HeapModule
import NIOCore

/// Work for later, by time. Pure.
struct LoopTimers<Work> {
    private struct Entry: Comparable {
        var deadline: NIODeadline
        var id: UInt64

        static func < (one: Entry, other: Entry) -> Bool {
            (one.deadline, one.id) < (other.deadline, other.id)
        }
    }

    private var entries = Heap<Entry>()
    /// Of those that are not cancelled.
    private var work: [UInt64: Work] = [:]

    var count: Int { work.count }
    /// Cancelled ones that are still in the heap.
    var leftovers: Int { entries.count - work.count }

    /// - Parameter id: no other's; of equal deadlines the lowest rings first.
    mutating func add(_ id: UInt64, _ deadline: NIODeadline, _ body: Work) {
        entries.insert(Entry(deadline: deadline, id: id))
        work[id] = body
    }

    /// One that is over already is not there.
    mutating func cancel(_ id: UInt64) {
        guard work.removeValue(forKey: id) != nil else { return }
        // A far deadline would keep its place until it comes; connections come and go in their thousands.
        if leftovers > 64, leftovers > work.count {
            entries = Heap(entries.unordered.filter { work[$0.id] != nil })
        }
    }

    /// When the first is due.
    mutating func next() -> NIODeadline? {
        while let first = entries.min {
            if work[first.id] != nil { return first.deadline }
            entries.removeMin()
        }
        return nil
    }

    /// The first that is due, earliest deadline first.
    mutating func popDue(_ now: NIODeadline) -> Work? {
        guard let next = next(), next <= now, let first = entries.popMin() else { return nil }
        return work.removeValue(forKey: first.id)
    }

    /// All that are left, in no order.
    var all: some Collection<Work> { work.values }
}
