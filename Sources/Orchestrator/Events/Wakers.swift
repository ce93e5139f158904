import Synchronization

/// Takes a waker away again: `EventLog.removeWaker`.
public struct WakerToken: Sendable, Hashable {
    let number: UInt64
}

/// Those to be told that there are new events.
final class Wakers: Sendable {
    private struct State {
        var last: UInt64 = 0
        var wakers: [UInt64: @Sendable () -> Void] = [:]
    }

    private let state = Mutex(State())

    func add(_ waker: @escaping @Sendable () -> Void) -> WakerToken {
        state.withLock { state in
            state.last += 1
            state.wakers[state.last] = waker
            return WakerToken(number: state.last)
        }
    }

    func remove(_ token: WakerToken) { _ = state.withLock { $0.wakers.removeValue(forKey: token.number) } }

    /// Outside the lock, so that a waker may add and remove.
    func wakeAll() {
        for waker in state.withLock({ Array($0.wakers.values) }) { waker() }
    }
}
