import DequeModule
import Synchronization

/// The jobs in memory: all that are open and the newest ended ones. Changed only by the writer, read by everybody, under
/// one lock that is never held for more than a few look-ups.
final class JobIndex: Sendable {
    /// Mutable state of one job; reached only under the index's lock.
    private final class Entry {
        var row: JobRow
        /// What `Encoders.job` made of it; dropped with every change.
        var image: [UInt8]?
        var version: UInt64 = 0

        init(_ row: JobRow) { self.row = row }
    }

    private struct State {
        var entries = JobTable<Entry>()
        /// Oldest end first.
        var ended: Deque<JobKey> = []
        var endedBytes = 0
        /// By the retention, since the beginning.
        var dropped = 0
        var totals: [Int] = Array(repeating: 0, count: 7)
        /// By class, which count from 1.
        var open: [OpenCount] = Array(repeating: OpenCount(), count: JobClass.allCases.count + 1)
    }

    private let state = Mutex(State())
    private let recentJobs: Int
    private let recentBytes: Int

    init(recentJobs: Int, recentBytes: Int) {
        self.recentJobs = recentJobs
        self.recentBytes = recentBytes
    }

    // MARK: Reading

    func row(_ key: JobKey) -> JobRow? { state.withLock { $0.entries[key]?.row } }

    func row(_ id: String) -> JobRow? { row(JobKey(id)) }

    /// The job's image, made at the first call after a change and shared by those that follow.
    func image(_ id: String, encode: (Job) -> [UInt8]) -> [UInt8]? {
        let key = JobKey(id)
        // Apart from what follows, for the values of a whole job are long to move.
        if let image = state.withLock({ $0.entries[key]?.image }) { return image }
        guard let (job, version) = state.withLock({ $0.entries[key].map { ($0.row.job, $0.version) } }) else {
            return nil
        }
        let image = encode(job)
        state.withLock { state in
            if let entry = state.entries[key], entry.version == version { entry.image = image }
        }
        return image
    }

    /// Oldest submission first.
    func openJobs() -> [Job] {
        let open = state.withLock { state in
            state.entries.values.compactMap { $0.row.job.state.isTerminal ? nil : $0.row }
        }
        return open.sorted { $0.number < $1.number }.map(\.job)
    }

    var totals: [JobState: Int] {
        let totals = state.withLock { $0.totals }
        return Dictionary(uniqueKeysWithValues: JobState.allCases.map { ($0, totals[Int($0.rawValue)]) })
    }

    var openCounts: [JobClass: OpenCount] {
        let open = state.withLock { $0.open }
        return Dictionary(uniqueKeysWithValues: JobClass.allCases.map { ($0, open[Int($0.rawValue)]) })
    }

    struct Size {
        var open: Int
        /// Whether every job there is is in memory, so that an unknown id needs no look into the database.
        var isComplete: Bool
    }

    var size: Size {
        state.withLock { state in
            Size(
                open: state.totals[1...3].reduce(0, +),
                isComplete: state.entries.count == state.totals.reduce(0, +) - state.dropped)
        }
    }

    // MARK: Changing, by the writer only

    /// At start, in the order in which ended jobs are to be forgotten.
    ///
    /// - Parameter dropped: jobs that the retention has taken, of those in `totals`.
    func load(_ rows: [JobRow], totals: [JobState: Int], dropped: Int) {
        state.withLock { state in
            for (jobState, count) in totals { state.totals[Int(jobState.rawValue)] = count }
            state.dropped = dropped
            state.entries.reserveCapacity(rows.count)
            for row in rows {
                state.entries[row.job.key] = Entry(row)
                if row.job.state.isTerminal { Self.remember(row, in: &state) }
                Self.count(row.job, state: row.job.state, by: 1, in: &state)
            }
            _ = forgetOldest(&state)
        }
    }

    /// The retention has taken these.
    func drop(_ ids: [String]) {
        let keys = ids.map { JobKey($0) }
        let forgotten = state.withLock { state in
            state.dropped += keys.count
            let entries = keys.compactMap { state.entries.removeValue(forKey: $0) }
            if !entries.isEmpty {
                state.endedBytes -= entries.reduce(0) { $0 + Self.weight($1.row.job) }
                state.ended.removeAll { state.entries[$0] == nil }
            }
            return entries
        }
        withExtendedLifetime(forgotten) {}
    }

    private static func remember(_ row: JobRow, in state: inout State) {
        state.ended.append(row.job.key)
        state.endedBytes += weight(row.job)
    }

    /// What leaves is to be freed outside the lock.
    private func forgetOldest(_ state: inout State) -> [Entry] {
        var forgotten: [Entry] = []
        while state.ended.count > recentJobs || state.endedBytes > recentBytes, let key = state.ended.popFirst() {
            guard let entry = state.entries.removeValue(forKey: key) else { continue }
            state.endedBytes -= Self.weight(entry.row.job)
            forgotten.append(entry)
        }
        return forgotten
    }

    /// Bytes, roughly: the image holds the payload and the result once more.
    static func weight(_ job: Job) -> Int { 1_024 + 2 * (job.spec.payload.count + job.result.count) }

    func apply(_ changes: [LedgerBatch.Change]) {
        // Short holds: status calls are answered between them.
        var rest = changes[...]
        while !rest.isEmpty {
            let part = rest.prefix(64)
            rest = rest.dropFirst(64)
            // Entries that leave are freed outside the lock.
            let forgotten = state.withLock { state in
                for change in part { Self.apply(change.row, oldState: change.oldState, in: &state) }
                return forgetOldest(&state)
            }
            withExtendedLifetime(forgotten) {}
        }
    }

    /// Sets how many parents jobs wait for; those that wait for none any more come back, oldest submission first.
    func release(_ releases: [FollowUps.Release]) -> [Job] {
        if releases.isEmpty { return [] }
        let keys = releases.map { JobKey($0.id) }
        let released = state.withLock { state in
            var released: [JobRow] = []
            for (key, release) in zip(keys, releases) {
                guard let entry = state.entries[key] else { continue }
                entry.row.job.openParents = release.openParents
                if release.openParents == 0 { released.append(entry.row) }
            }
            return released
        }
        return released.sorted { $0.number < $1.number }.map(\.job)
    }

    private static func apply(_ row: JobRow, oldState: JobState?, in state: inout State) {
        let job = row.job
        if let oldState {
            state.totals[Int(oldState.rawValue)] -= 1
            count(job, state: oldState, by: -1, in: &state)
        }
        state.totals[Int(job.state.rawValue)] += 1
        count(job, state: job.state, by: 1, in: &state)

        // A batch job that has ended may still be told what it used; it is remembered by its end, once.
        var isRemembered = false
        if let oldState, let entry = state.entries[job.key] {
            isRemembered = oldState.isTerminal
            entry.row = row
            entry.image = nil
            entry.version += 1
        } else {
            state.entries[job.key] = Entry(row)
        }
        if job.state.isTerminal, !isRemembered { remember(row, in: &state) }
    }

    private static func count(_ job: Job, state jobState: JobState, by step: Int, in state: inout State) {
        switch jobState {
        case .queued: state.open[Int(job.jobClass.rawValue)].queued += step
        case .submitted, .running: state.open[Int(job.jobClass.rawValue)].running += step
        case .succeeded, .failed, .cancelled: break
        }
    }
}
