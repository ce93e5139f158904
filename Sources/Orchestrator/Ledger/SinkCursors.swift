import Synchronization

/// How far each sink has come, and which of them the retention waits for.
final class SinkCursors: Sendable {
    private struct State {
        var cursors: [String: UInt64]
        /// As the database has them: a crash falls back to these.
        var durable: [String: UInt64]
        var waitedFor: Set<String> = []
    }

    private let state: Mutex<State>

    init(_ stored: [String: UInt64]) { state = Mutex(State(cursors: stored, durable: stored)) }

    subscript(name: String) -> UInt64? {
        get { state.withLock { $0.cursors[name] } }
        set { state.withLock { $0.cursors[name] = newValue } }
    }

    func waitFor(_ name: String) { state.withLock { _ = $0.waitedFor.insert(name) } }

    func committed(_ cursors: [String: UInt64]) {
        if cursors.isEmpty { return }
        state.withLock { $0.durable.merge(cursors) { $1 } }
    }

    /// Sequence of the last event that every sink has taken for good; nil without sinks.
    var floor: UInt64? { state.withLock { state in state.waitedFor.map { state.durable[$0] ?? 0 }.min() } }
}
