/// A batch job that has ended, until accounting has told what it used.
struct UnmeasuredJob: Sendable {
    let track: SlurmTrack
    let endedAt: Timestamp
    var looks = 0
}

// What jobs used, from accounting: it knows some seconds after the end, and nobody waits for it.
extension SlurmBridge {
    /// From a job's end until it is looked up. Accounting is a few seconds behind.
    private static let delay = Duration.seconds(5)
    private static let maxLooks = 3
    /// The oldest go first, should accounting be away for long.
    private static let maxJobs = 5_000

    func measureLater(_ track: SlurmTrack) {
        unmeasured.append(UnmeasuredJob(track: track, endedAt: now()))
        lookWithinInterval()
        if unmeasured.count > Self.maxJobs { unmeasured.removeFirst(unmeasured.count - Self.maxJobs) }
    }

    /// One question for all that ended a while ago.
    func measure() async {
        let due = unmeasured.filter { now() >= $0.endedAt.advanced(by: Self.delay * ($0.looks + 1)) }
        guard !due.isEmpty else { return }
        let asked = Set(due.map(\.track.name))
        switch await client.accounting(ids: due.map(\.track.slurmJobID), withSteps: true) {
        case .unavailable: return
        case .none: unmeasured.removeAll { asked.contains($0.track.name) }
        case .rows(let rows):
            let byID = Dictionary(grouping: rows, by: \.id)
            var told: Set<String> = []
            await withTaskGroup(of: Void.self) { group in
                for job in due {
                    let rows = byID[job.track.slurmJobID] ?? []
                    guard let whole = rows.first(where: { $0.step == nil }), whole.name == job.track.name,
                        whole.endedAt != nil
                    else { continue }
                    told.insert(job.track.name)
                    let elapsed = whole.elapsedSeconds.map { Double($0) }
                    let memory = rows.compactMap(\.maxRSSBytes).max()
                    group.addTask {
                        _ = await self.tell(job.track, .measured(elapsedSeconds: elapsed, maxRSSBytes: memory))
                    }
                }
            }
            for index in unmeasured.indices where asked.contains(unmeasured[index].track.name) {
                unmeasured[index].looks += 1
            }
            unmeasured.removeAll { told.contains($0.track.name) || $0.looks >= Self.maxLooks }
        }
    }
}
