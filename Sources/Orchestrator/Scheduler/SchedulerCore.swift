/// Which job starts when: the classes' queues, their limits, and what is in flight. Each method tells of something that
/// happened; `next` says what to do about it.
struct SchedulerCore {
    /// One start, from the moment it is decided until its process is gone.
    struct Slot: Sendable, Hashable {
        let number: UInt64
        let jobClass: JobClass
    }

    struct Start: Sendable, Equatable {
        var id: String
        var slot: Slot
    }

    struct Actions: Sendable, Equatable {
        var starts: [Start] = []
        /// When to ask again although nothing happened.
        var wakeAt: Timestamp?
    }

    private(set) var limits: [JobClass: Int]
    private var queues: [JobClass: ClassQueue] = [:]
    private var inFlight: [JobClass: Int] = [:]
    private var lastSlot: UInt64 = 0
    private var pausedUntil: Timestamp?
    private var shortages = 0
    private var isDraining = false

    /// A class without a limit never starts anything here.
    init(limits: [JobClass: Int]) { self.limits = limits }

    /// From now on so many of a class start; what runs beyond it goes on.
    mutating func limited(_ jobClass: JobClass, to limit: Int) { limits[jobClass] = limit }

    /// A job waits for its turn. One that waits already is replaced.
    /// - Returns: whether `next` may have something new to say; of a class that is full, only when something of it ends.
    @discardableResult
    mutating func enqueued(_ entry: ClassQueue.Entry, _ jobClass: JobClass) -> Bool {
        queues[jobClass, default: ClassQueue()].insert(entry)
        return inFlight[jobClass, default: 0] < limits[jobClass] ?? 0
    }

    /// A waiting job shall not start any more. Harmless for one that does not wait.
    mutating func withdrawn(_ key: JobKey, _ jobClass: JobClass) {
        queues[jobClass]?.remove(key)
    }

    /// An attempt was running when the server started. It has a slot even beyond the limit: it is there.
    mutating func adopted(_ jobClass: JobClass) -> Slot { takeSlot(jobClass) }

    /// The process of a start is gone, or there was none.
    mutating func ended(_ slot: Slot) {
        inFlight[slot.jobClass, default: 0] -= 1
    }

    /// The machine could start a process.
    mutating func startSucceeded() { shortages = 0 }

    /// The machine could not start a process for want of something: nothing starts for a while, from 100 ms doubling up
    /// to 10 s.
    mutating func startFailed(now: Timestamp) {
        let wait = min(Duration.milliseconds(100) * (1 << min(shortages, 10)), .seconds(10))
        // Several starts that fail together are one shortage.
        if pausedUntil.map({ $0 <= now }) ?? true { shortages += 1 }
        pausedUntil = max(pausedUntil ?? now, now.advanced(by: wait))
    }

    /// From now on nothing starts.
    mutating func drained() { isDraining = true }

    mutating func next(now: Timestamp) -> Actions {
        var actions = Actions()
        if isDraining { return actions }
        if let until = pausedUntil {
            if now < until { return Actions(wakeAt: until) }
            pausedUntil = nil
        }
        for jobClass in JobClass.allCases {
            let limit = limits[jobClass] ?? 0
            while inFlight[jobClass, default: 0] < limit, let entry = queues[jobClass]?.popFirst(now: now) {
                actions.starts.append(Start(id: entry.id, slot: takeSlot(jobClass)))
            }
            // A full class is looked at when something of it ends.
            if inFlight[jobClass, default: 0] < limit, let time = queues[jobClass]?.nextTime {
                actions.wakeAt = min(actions.wakeAt ?? time, time)
            }
        }
        return actions
    }

    /// How a class stands: what metrics show.
    struct Load: Sendable, Equatable {
        var limit: Int
        var inFlight: Int
        var waiting: Int
    }

    var loads: [JobClass: Load] {
        limits.reduce(into: [:]) { loads, entry in
            loads[entry.key] = Load(
                limit: entry.value, inFlight: inFlight[entry.key] ?? 0, waiting: queues[entry.key]?.count ?? 0)
        }
    }

    private mutating func takeSlot(_ jobClass: JobClass) -> Slot {
        lastSlot += 1
        inFlight[jobClass, default: 0] += 1
        return Slot(number: lastSlot, jobClass: jobClass)
    }
}
