import Dispatch

extension DispatchQueue {
    /// Runs blocking work here and waits without blocking.
    func run<Value: Sendable>(_ work: @escaping @Sendable () -> Value) async -> Value {
        await withCheckedContinuation { continuation in
            async { continuation.resume(returning: work()) }
        }
    }
}
