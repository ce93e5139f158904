import NIOCore
import Protocol
import Synchronization

/// The answer that a unary call waits for, to be given once, from any thread. Answers of one moment reach the call's event
/// loop together, which is what makes this cheaper than a task for each call.
///
/// The call may be over by then, as its deadline or its caller ended it: the answer is then dropped. A promise that is let
/// go without an answer fails its call.
public struct ResponsePromise<Response: WireMessage>: Sendable {
    let call: PromisedCall

    /// - Parameter response: makes the response, on the event loop; not called for a call that is over.
    public func succeed(_ response: @escaping @Sendable () -> Response) {
        call.answer { .success(response().framed(in: $0)) }
    }

    public func fail(_ status: Status) { call.answer { _ in .failure(status) } }
}

/// A call in the eyes of whoever answers it: where the answer goes.
final class PromisedCall: Sendable {
    /// May use the loop's arena.
    typealias Answer = @Sendable (Arena) -> Result<[UInt8], Status>

    private let id: GRPCConnection.CallID
    private let connection: NIOLoopBound<WeakConnection>
    private let executor: LoopExecutor
    private let isAnswered = Atomic<Bool>(false)

    init(_ id: GRPCConnection.CallID, on connection: NIOLoopBound<WeakConnection>, executor: LoopExecutor) {
        self.id = id
        self.connection = connection
        self.executor = executor
    }

    deinit {
        guard !isAnswered.load(ordering: .relaxed) else { return }
        let forgotten = Status(.internal, "the server has no answer to this call")
        executor.run { [id, connection] in connection.value.connection?.keep(id) { _ in .failure(forgotten) } }
    }

    func answer(_ answer: @escaping Answer) {
        guard !isAnswered.exchange(true, ordering: .relaxed) else { return }
        executor.run { [id, connection] in connection.value.connection?.keep(id, answer) }
    }
}
