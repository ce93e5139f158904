/// Files that are no tasks yet, because somebody may still be writing them: each is given up once it has not changed for
/// a while.
struct UnsettledFiles {
    enum Verdict: Equatable {
        case wait(until: Timestamp)
        /// It has not changed for long enough; what it is now, it stays.
        case settled
    }

    private struct Seen {
        var facts: WholeFile.Facts
        var since: Timestamp
    }

    let settleTime: Duration
    private var seen: [String: Seen] = [:]

    init(settleTime: Duration) { self.settleTime = settleTime }

    /// The file was looked at and is no task. Only what is seen here counts, not the age that the file claims: clocks of
    /// file servers differ.
    mutating func observed(_ name: String, _ facts: WholeFile.Facts, now: Timestamp) -> Verdict {
        guard let before = seen[name], before.facts == facts, before.since <= now else {
            seen[name] = Seen(facts: facts, since: now)
            return .wait(until: now.advanced(by: settleTime))
        }
        let settled = before.since.advanced(by: settleTime)
        if now < settled { return .wait(until: settled) }
        seen[name] = nil
        return .settled
    }

    /// Forgets the files that are no longer among `names`.
    mutating func keep(_ names: Set<String>) {
        seen = seen.filter { names.contains($0.key) }
    }
}
