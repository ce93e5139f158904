/// For how long tasks have been nowhere, without a break that somebody saw.
struct Absences {
    /// By the steady clock.
    private var since: [String: Timestamp] = [:]

    /// One look at everything: what was not found is absent, anything else is not.
    ///
    /// - Returns: those that have been absent for `limit`.
    mutating func looked(missing: Set<String>, limit: Duration, now: Timestamp) -> [String] {
        since = since.filter { missing.contains($0.key) }
        for id in missing where since[id] == nil { since[id] = now }
        return since.filter { $0.value.duration(to: now) >= limit }.map(\.key)
    }

    /// A look that did not see everything proves nothing, and neither does the time before it.
    mutating func interrupted() { since = [:] }
}
