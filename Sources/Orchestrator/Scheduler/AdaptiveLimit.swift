/// How many attempts of one class run at once, between a floor and a ceiling. Each second it hears how that second went:
/// more is tried while jobs wait and the machine has room; less at once when it has not (additive increase,
/// multiplicative decrease, as TCP has it).
struct AdaptiveLimit: Sendable {
    /// One second of a class.
    struct Observation: Sendable, Equatable {
        /// Jobs whose time has come and that wait for a place.
        var waiting = 0
        /// The longest time that a job which started now had waited for it.
        var longestWait = Duration.zero
        var inFlight = 0
        /// Attempts that ended.
        var ended = 0
        /// Those among them that ended as they do on a machine with too much to do: out of memory, killed, timed out, not
        /// started. A command that exits with an error says nothing about the machine.
        var strained = 0
        var pressure = MachinePressure()
    }

    private let range: ConcurrencyRange
    private(set) var limit: Int
    /// It doubles until it has been too much once.
    private var isProbing = true
    /// Observations still to be passed over, as those right after a decrease still show what was before it.
    private var deafFor = 0
    private var idleFor = 0

    /// A longer wait than this is one that another place would shorten.
    static let patience = Duration.milliseconds(100)
    /// After a decrease, in observations.
    static let deafness = 3
    /// Without jobs that wait and with half of the places free, in observations, before a place is given up.
    static let idleness = 30
    /// Of ended attempts; with fewer of them than `enough` a share says nothing.
    static let mostStrained = 0.2
    static let enough = 5
    static let decrease = 0.7

    init(_ range: ConcurrencyRange) {
        self.range = range
        limit = range.floor
    }

    /// The limit for the next second.
    mutating func observed(_ seen: Observation) -> Int {
        if deafFor > 0 {
            deafFor -= 1
            return limit
        }
        let isStrained = seen.ended >= Self.enough && Double(seen.strained) > Self.mostStrained * Double(seen.ended)
        if seen.pressure.isTooMuch || isStrained {
            isProbing = false
            deafFor = Self.deafness
            idleFor = 0
            limit = max(range.floor, Int(Double(min(limit, max(seen.inFlight, range.floor))) * Self.decrease))
            return limit
        }
        // Only a limit that holds something back is worth raising.
        let holdsBack = seen.inFlight >= limit && (seen.waiting > 0 || seen.longestWait > Self.patience)
        if holdsBack, !seen.pressure.isHigh {
            limit = min(range.ceiling, isProbing ? limit * 2 : limit + 1)
        }
        idleFor = seen.waiting == 0 && seen.inFlight * 2 < limit ? idleFor + 1 : 0
        if idleFor >= Self.idleness {
            idleFor = 0
            limit = max(range.floor, limit - 1)
        }
        return limit
    }
}
