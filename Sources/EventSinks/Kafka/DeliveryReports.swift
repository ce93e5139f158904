import Synchronization

/// The reports of one batch of messages: each message gets one, in any order and from librdkafka's thread.
final class DeliveryReports: Sendable {
    private struct State {
        /// Handed to librdkafka, and not reported yet.
        var pending = 0
        var isSealed = false
        var failures: [Int: KafkaError] = [:]
        var waiter: CheckedContinuation<Void, Never>?

        mutating func finished() -> CheckedContinuation<Void, Never>? {
            guard isSealed, pending == 0 else { return nil }
            defer { waiter = nil }
            return waiter
        }
    }

    private let state = Mutex(State())

    /// Before the message is handed on, as its report may come at once.
    func expect() { state.withLock { $0.pending += 1 } }

    /// - Parameter index: of the message in its batch.
    func report(_ index: Int, _ failure: KafkaError?) {
        let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
            state.pending -= 1
            if let failure { state.failures[index] = failure }
            return state.finished()
        }
        waiter?.resume()
    }

    /// Returns once each expected report is there. Call once, when no more are expected.
    ///
    /// - Returns: what failed, by the messages' places in the batch.
    func all() async -> [Int: KafkaError] {
        await withCheckedContinuation { continuation in
            let waiter = state.withLock { state in
                state.isSealed = true
                state.waiter = continuation
                return state.finished()
            }
            waiter?.resume()
        }
        return state.withLock { $0.failures }
    }
}
