import NIOCore
import Synchronization

/// Says whether something about a peer is worth a line in the log for all to see: once an hour for each address and what
/// it did, and never more than `burst` lines at once and one a second after, whoever it is.
final class PeerLog: Sendable {
    private struct Entry: Hashable {
        var host: String
        var what: String
    }

    private struct State {
        var told: [Entry: NIODeadline] = [:]
        var lines: TokenBucket
    }

    private static let silence = TimeAmount.hours(1)
    private static let burst: UInt32 = 20
    /// Peers remembered; who has that many addresses is told apart no more, and the lines are few all the same.
    private static let mostEntries = 4_096

    private let state: Mutex<State>

    init(at now: NIODeadline = .now()) {
        state = Mutex(State(lines: TokenBucket(burst: Self.burst, perSecond: 1, at: now)))
    }

    /// Those remembered.
    var peers: Int { state.withLock { $0.told.count } }

    /// - Parameters:
    ///   - host: the peer's address, without its port.
    ///   - what: a word of a fixed set.
    func admits(_ host: String, _ what: String, at now: NIODeadline = .now()) -> Bool {
        let entry = Entry(host: host, what: what)
        return state.withLock { state in
            if let last = state.told[entry], now - last < Self.silence { return false }
            guard state.lines.take(1, at: now) else { return false }
            if state.told.count >= Self.mostEntries { state.told = state.told.filter { now - $0.value < Self.silence } }
            if state.told.count < Self.mostEntries { state.told[entry] = now }
            return true
        }
    }
}
