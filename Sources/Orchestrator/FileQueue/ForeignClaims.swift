import Glibc

/// Watches the other owners' directories in `claimed/`, and revokes the lease of one that shows no sign of life.
struct ForeignClaims {
    /// A directory whose tasks may be taken.
    struct Abandoned: Equatable {
        var directory: String
        /// It was its last look that took the lease away, for the log.
        var isNew: Bool
    }

    /// For an owner that never said how long its lease is.
    let defaultDuration: Duration
    /// Whether the last look saw owners that may be alive.
    private(set) var hasLiving = false
    private var observed: [String: UnsettledFiles] = [:]

    init(defaultDuration: Duration) { self.defaultDuration = defaultDuration }

    /// - Parameters:
    ///   - own: names not to look at.
    ///   - now: by the steady clock.
    mutating func look(in claimed: String, own: Set<String>, now: Timestamp) -> [Abandoned] {
        let owners = ((try? WholeFile.names(in: claimed)) ?? []).filter { name in
            !own.contains(name) && !name.hasPrefix(".") && Self.isDirectory("\(claimed)/\(name)")
        }
        observed = observed.filter { owners.contains($0.key) }
        let found = owners.compactMap { abandoned($0, in: claimed, now: now) }
        hasLiving = found.count < owners.count
        return found
    }

    private mutating func abandoned(_ owner: String, in claimed: String, now: Timestamp) -> Abandoned? {
        let directory = "\(claimed)/\(owner)"
        let tombstone = "\(directory)/\(ClaimLease.tombstone)"
        if let buried = try? WholeFile.facts(tombstone) {
            removeOld(directory, tombstone, buried)
            return Abandoned(directory: directory, isNew: false)
        }
        let lease = "\(directory)/\(ClaimLease.file)"
        // One that has not written its lease yet is judged by its directory.
        guard let facts = (try? WholeFile.facts(lease)) ?? (try? WholeFile.facts(directory)) else { return nil }
        var watch = observed[owner] ?? UnsettledFiles(settleTime: Self.duration(lease) ?? defaultDuration)
        defer { observed[owner] = watch }
        guard watch.observed(owner, facts, now: now) == .settled else { return nil }
        if rename(lease, tombstone) == 0 { return Abandoned(directory: directory, isNew: true) }
        guard errno == ENOENT, !WholeFile.exists(tombstone) else { return nil }
        guard (try? WholeFile.create(tombstone, with: [])) != nil else { return nil }
        return Abandoned(directory: directory, isNew: true)
    }

    /// A tombstone tells a late owner what happened; one that did not come back for a month is not waited for.
    private func removeOld(_ directory: String, _ tombstone: String, _ facts: WholeFile.Facts) {
        let age = Timestamp(nanoseconds: facts.modified).duration(to: .now())
        guard age > .seconds(30 * 86_400), (try? WholeFile.names(in: directory)) == [ClaimLease.tombstone] else {
            return
        }
        unlink(tombstone)
        rmdir(directory)
    }

    private static func isDirectory(_ path: String) -> Bool {
        var found = stat()
        return lstat(path, &found) == 0 && found.st_mode & S_IFMT == S_IFDIR
    }

    /// What the owner promised, between a second and a day.
    private static func duration(_ lease: String) -> Duration? {
        guard let text = try? WholeFile.read(lease, limit: 4096), let sign = try? JSONNode(parsing: text),
            case .number(let seconds)? = sign["lease_seconds"]?.value
        else { return nil }
        return .seconds(max(1, min(seconds, 86_400)))
    }
}
