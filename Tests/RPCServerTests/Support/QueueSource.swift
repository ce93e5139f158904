import Protocol
import RPCServer
import Synchronization

/// A pull source that gives what it was given, and counts how it is used.
final class QueueSource: PullSource {
    private struct State {
        var ready: [UInt8]
        var given = 0
        var end: Status?
        var reads = 0
        var closes = 0
        var attaches = 0
        var readsAfterClose = 0
        var wake: (@Sendable () -> Void)?
    }

    private let state: Mutex<State>
    private let shutdownStatus: Status
    let closed = Signal("the source's close")

    init(ready: [UInt8] = [], end: Status? = nil, atShutdown: Status = Status(.unavailable, "going away")) {
        state = Mutex(State(ready: ready, end: end))
        shutdownStatus = atShutdown
    }

    var reads: Int { state.withLock { $0.reads } }
    var given: Int { state.withLock { $0.given } }
    var closes: Int { state.withLock { $0.closes } }
    var attaches: Int { state.withLock { $0.attaches } }
    var readsAfterClose: Int { state.withLock { $0.readsAfterClose } }

    /// Adds bytes, and an end, without waking anybody.
    func add(_ bytes: [UInt8] = [], end: Status? = nil) {
        state.withLock {
            $0.ready += bytes
            $0.end = end ?? $0.end
        }
    }

    /// Uses the wake the stream gave, even when the stream has gone since.
    func wake() { state.withLock { $0.wake }?() }

    func read(into buffer: UnsafeMutableRawBufferPointer) -> PullOutcome {
        state.withLock { state in
            state.reads += 1
            if state.closes > 0 { state.readsAfterClose += 1 }
            let count = min(buffer.count, state.ready.count - state.given)
            if count > 0 {
                buffer.copyBytes(from: state.ready[state.given..<(state.given + count)])
                state.given += count
                return .bytes(count)
            }
            return state.end.map { .ended($0) } ?? .pending
        }
    }

    func attach(wake: @escaping @Sendable () -> Void) {
        state.withLock {
            $0.attaches += 1
            $0.wake = wake
        }
    }

    func close() {
        state.withLock { $0.closes += 1 }
        closed.raise()
    }

    func statusAtShutdown() -> Status { shutdownStatus }
}
