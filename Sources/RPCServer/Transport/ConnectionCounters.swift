import NIOCore
import Synchronization

/// Counts the server's connections, all loops together, and says whether there is room for one more. It is asked when a
/// connection comes and goes, not for calls.
final class ConnectionCounters: Sendable {
    private struct State {
        var accepted: UInt64 = 0
        var open = 0
        var ends: [ConnectionEnd: UInt64] = [:]
    }

    private let state = Mutex(State())
    /// Whoever opens connections only to break them shall not fill the log.
    let log = PeerLog()
    private let limit: Int

    init(limit: Int = .max) { self.limit = limit }

    /// Counts one more, unless there are too many.
    func admit() -> Bool {
        state.withLock { state in
            guard state.open < limit else { return false }
            state.open += 1
            state.accepted += 1
            return true
        }
    }

    func closed() { state.withLock { $0.open -= 1 } }

    /// - Parameter host: the peer's address, without its port.
    /// - Returns: whether it may be logged for all to see.
    func ended(_ end: ConnectionEnd, host: String) -> Bool {
        state.withLock { $0.ends[end, default: 0] += 1 }
        return end.isAbuse && log.admits(host, end.rawValue)
    }

    var statistics: ConnectionStatistics {
        state.withLock { state in
            var ended = Dictionary(uniqueKeysWithValues: ConnectionEnd.allCases.map { ($0, UInt64(0)) })
            ended.merge(state.ends) { $1 }
            return ConnectionStatistics(accepted: state.accepted, open: state.open, ended: ended)
        }
    }
}

/// What became of the server's connections since it started.
public struct ConnectionStatistics: Sendable, Equatable {
    public var accepted: UInt64
    public var open: Int
    /// Those that the server ended, by why; every reason is there, at 0 if need be.
    public var ended: [ConnectionEnd: UInt64]
    /// How often peers ran into limits that leave them their connection; every limit is there.
    public var reached: [LimitReached: UInt64] = [:]
}
