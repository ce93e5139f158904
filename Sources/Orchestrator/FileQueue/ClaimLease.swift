import Glibc

/// The right to what is in `claimed/<owner>/`, kept by showing signs of life. Every program that claims tasks has such a
/// directory, whatever it runs them with.
///
/// ```
/// claimed/<owner>/a.json     claimed by that owner, by a rename out of pending/
/// claimed/<owner>/.lease     JSON; rewritten, in place, at least three times as often as "lease_seconds" says
/// claimed/<owner>/.revoked   what .lease became when it was taken away: the tasks beside it are anybody's, by rename
/// ```
/// Somebody who has seen a lease unchanged for as long as it says, by a clock of its own, may rename `.lease` to
/// `.revoked`: that one rename decides. An owner that finds itself revoked goes on under another name; what it does not
/// find any more in its former directory is another's now.
struct ClaimLease {
    enum Taking {
        case taken(ClaimLease)
        case revoked
        /// Another process of this machine has it: a copy of the data directory.
        case held
    }

    enum Renewal: Equatable {
        case renewed
        case revoked
        /// The directory was removed, or replaced: to be taken again.
        case gone
    }

    static let file = ".lease"
    static let tombstone = ".revoked"

    let owner: String
    /// `claimed/<owner>`.
    let directory: String
    let duration: Duration
    /// By the steady clock.
    private(set) var renewedAt: Timestamp
    private let descriptor: Int32

    static func take(
        owner: String, in claimed: String, duration: Duration, now: Timestamp
    ) throws(SystemError) -> Taking {
        let directory = "\(claimed)/\(owner)"
        try WholeFile.makeDirectory(directory, mode: 0o755)
        if WholeFile.exists("\(directory)/\(tombstone)") { return .revoked }
        let path = "\(directory)/\(file)"
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard descriptor >= 0 else { throw SystemError("open", path) }
        // Some file systems have no locks; then there is only the name, which is drawn at random.
        if flock(descriptor, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK {
            close(descriptor)
            return .held
        }
        var lease = ClaimLease(
            owner: owner, directory: directory, duration: duration, renewedAt: now, descriptor: descriptor)
        do {
            if try lease.renew(now: now) == .renewed { return .taken(lease) }
        } catch {
            lease.end()
            throw error
        }
        lease.end()
        return .revoked
    }

    /// Shows that the owner is alive. In place and not by a rename, which would bring a revoked lease back.
    mutating func renew(now: Timestamp) throws(SystemError) -> Renewal {
        var json = JSONWriter()
        json.object { json in
            json.member("owner", owner)
            json.member("host", Self.host)
            json.member("pid", getpid())
            json.member("lease_seconds", duration.components.seconds)
            json.member("renewed_at", Timestamp.now().rfc3339Milliseconds)
        }
        let sign = json.bytes + "\n".utf8
        let path = "\(directory)/\(Self.file)"
        guard pwrite(descriptor, sign, sign.count, 0) == sign.count else { throw SystemError("write", path) }
        guard ftruncate(descriptor, off_t(sign.count)) == 0 else { throw SystemError("truncate", path) }
        var mine = stat()
        var there = stat()
        guard fstat(descriptor, &mine) == 0 else { throw SystemError("stat", path) }
        if lstat(path, &there) == 0, mine.st_ino == there.st_ino, mine.st_dev == there.st_dev {
            renewedAt = now
            return .renewed
        }
        return WholeFile.exists("\(directory)/\(Self.tombstone)") ? .revoked : .gone
    }

    /// For people who look into the directory.
    private static let host: String = {
        var name = [UInt8](repeating: 0, count: 256)
        let failed = name.withUnsafeMutableBytes { bytes in
            bytes.withMemoryRebound(to: CChar.self) { gethostname($0.baseAddress!, $0.count - 1) }
        }
        return failed == 0 ? String(decoding: name.prefix { $0 != 0 }, as: UTF8.self) : ""
    }()

    /// Whether nobody can have taken it away by now. False for an owner that was stopped for a while, or whose disk was.
    func isSure(now: Timestamp) -> Bool { renewedAt.duration(to: now) < duration * 2 / 3 }

    /// Gives the claims away, to whoever is first, this owner's next life included.
    func revoke() { rename("\(directory)/\(Self.file)", "\(directory)/\(Self.tombstone)") }

    /// Lets the file go. The lease itself just runs out.
    func end() {
        // Not by closing it alone: a child that is about to become another program has it too, for a moment.
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }
}

/// The names under which this server has claimed tasks, the newest last: a file in its data directory, so that the jobs
/// in its ledger and their claims find each other again.
struct ClaimOwners {
    let path: String

    func read() -> [String] {
        guard let text = try? WholeFile.read(path, limit: 64 << 10) else { return [] }
        return String(decoding: text, as: UTF8.self).split(separator: "\n").map(String.init).filter(Self.isName)
    }

    func write(_ owners: [String]) throws(SystemError) {
        try WholeFile.replace(path, with: Array(owners.map { $0 + "\n" }.joined().utf8))
    }

    static func newName() -> String {
        "server-" + String(UInt64.random(in: 0 ... .max), radix: 16) + String(UInt64.random(in: 0 ... .max), radix: 16)
    }

    private static func isName(_ name: String) -> Bool {
        name.utf8.allSatisfy { ($0 >= 0x30 && $0 <= 0x39) || ($0 >= 0x61 && $0 <= 0x7a) || $0 == 0x2d }
    }
}
