import HeapModule

/// The jobs of one class that wait: those whose time has come by priority, then in order of submission; those in a
/// back-off by when it ends.
///
/// Heaps have no removal in the middle, so an entry that was cancelled or replaced stays until it comes up and is passed
/// over: only the ticket that `current` holds for a job counts.
struct ClassQueue {
    struct Entry: Sendable, Equatable {
        var key: JobKey
        /// Higher first.
        var priority: Int32
        var submittedAt: Timestamp
        /// nil is at once.
        var notBefore: Timestamp?

        var id: String { key.id }
    }

    private struct Ready: Comparable {
        var entry: Entry
        var ticket: UInt64

        /// The larger one starts first.
        static func < (left: Ready, right: Ready) -> Bool {
            (left.entry.priority, right.entry.submittedAt, right.ticket)
                < (right.entry.priority, left.entry.submittedAt, left.ticket)
        }

        static func == (left: Ready, right: Ready) -> Bool { left.ticket == right.ticket }
    }

    private struct Delayed: Comparable {
        var entry: Entry
        var until: Timestamp
        var ticket: UInt64

        static func < (left: Delayed, right: Delayed) -> Bool {
            (left.until, left.ticket) < (right.until, right.ticket)
        }

        static func == (left: Delayed, right: Delayed) -> Bool { left.ticket == right.ticket }
    }

    private var ready = Heap<Ready>()
    private var delayed = Heap<Delayed>()
    private var current = JobTable<UInt64>()
    private var lastTicket: UInt64 = 0

    /// Jobs that wait, in a back-off or not.
    var count: Int { current.count }

    /// A job that waits already is replaced.
    mutating func insert(_ entry: Entry) {
        lastTicket += 1
        current[entry.key] = lastTicket
        if let until = entry.notBefore {
            delayed.insert(Delayed(entry: entry, until: until, ticket: lastTicket))
        } else {
            ready.insert(Ready(entry: entry, ticket: lastTicket))
        }
    }

    mutating func remove(_ key: JobKey) {
        guard current.removeValue(forKey: key) != nil, current.isEmpty else { return }
        ready = Heap()
        delayed = Heap()
    }

    /// Takes the job whose turn it is.
    mutating func popFirst(now: Timestamp) -> Entry? {
        while let first = delayed.min, first.until <= now || !isCurrent(first.entry.key, first.ticket) {
            delayed.removeMin()
            if isCurrent(first.entry.key, first.ticket) {
                ready.insert(Ready(entry: first.entry, ticket: first.ticket))
            }
        }
        while let first = ready.popMax() {
            guard isCurrent(first.entry.key, first.ticket) else { continue }
            current[first.entry.key] = nil
            return first.entry
        }
        return nil
    }

    /// When the next back-off ends; perhaps that of a job that is gone, which costs one look too many.
    var nextTime: Timestamp? { delayed.min?.until }

    private func isCurrent(_ key: JobKey, _ ticket: UInt64) -> Bool { current[key] == ticket }
}

extension ClassQueue.Entry {
    init(_ job: Job) {
        // What is left of its back-off now, by the steady clock from here on; no more than the longest there is, should
        // the wall clock have been set back since.
        let longest = job.spec.retry.maxBackoff ?? RetryPolicy.defaultMaxBackoff
        let notBefore = job.notBefore.map {
            Timestamp.steady().advanced(by: min(Timestamp.now().duration(to: $0), longest))
        }
        self.init(key: job.key, priority: job.spec.priority, submittedAt: job.submittedAt, notBefore: notBefore)
    }
}
