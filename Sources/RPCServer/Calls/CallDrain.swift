import Synchronization

/// Tells the handlers of one connection's calls that it is on its way out: the server shuts down, or the connection has
/// reached its age. Calls may go on for a grace and are then cut off, so a handler that talks without end comes to its
/// end, with a status that says how to go on.
public final class CallDrain: Sendable {
    private struct State {
        var hasBegun = false
        var waiting: [Int: CheckedContinuation<Void, Never>] = [:]
        var next = 0
    }

    private let state = Mutex(State())

    init() {}

    public var hasBegun: Bool { state.withLock { $0.hasBegun } }

    /// Returns when the connection is on its way out, or the task is cancelled.
    public func begun() async {
        let number = state.withLock { state in
            state.next += 1
            return state.next
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    // Cancelled before it waits: its handler has run already and found nobody.
                    if state.hasBegun || Task.isCancelled { return true }
                    state.waiting[number] = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiting.removeValue(forKey: number) }?.resume()
        }
    }

    func begin() {
        let waiting = state.withLock { state in
            defer { state.waiting = [:] }
            state.hasBegun = true
            return state.waiting.values
        }
        for continuation in waiting { continuation.resume() }
    }
}
