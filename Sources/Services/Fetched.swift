import Synchronization

/// Hands what a task fetched to a source that is read on an event loop, and asks for that read.
final class Fetched<Value: Sendable>: Sendable {
    private struct State {
        var result: Result<Value, any Error>?
        var wake: (@Sendable () -> Void)?
    }

    private let state = Mutex(State())

    func attach(_ wake: @escaping @Sendable () -> Void) { state.withLock { $0.wake = wake } }

    /// Nobody is woken any more.
    func detach() { state.withLock { $0.wake = nil } }

    /// For the reader: the result, once.
    func take() -> Result<Value, any Error>? { state.withLock { $0.result.take() } }

    /// For the task.
    func put(_ fetch: () async throws -> Value) async {
        let result: Result<Value, any Error>
        do {
            result = .success(try await fetch())
        } catch {
            result = .failure(error)
        }
        let wake = state.withLock { state in
            state.result = result
            return state.wake
        }
        wake?()
    }
}
