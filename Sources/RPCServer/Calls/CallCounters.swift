import Protocol
import Synchronization

/// Counts of one event loop, by method. Written by the loop only, so that no bus lock is paid per call; read anywhere.
final class CallCounters: Sendable {
    /// Upper bounds of `grpc_server_handling_seconds`, in seconds: from an answer out of memory to a call that hangs.
    static let handlingBounds: [Double] = [
        0.000_01, 0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60,
    ]

    final class Method: Sendable {
        private let startedCount = Counter()
        private let receivedCount = Counter()
        private let sentCount = Counter()
        private let handledCounts: [Counter] = StatusCode.allCases.map { _ in Counter() }
        /// By bucket, the last for what is beyond every bound.
        private let handlingCounts: [Counter] = (0...handlingBounds.count).map { _ in Counter() }
        private let handlingNanoseconds = Counter()

        func started() { startedCount.add(1) }
        func received(_ messages: Int) { receivedCount.add(UInt64(messages)) }
        func sent(_ messages: Int) { sentCount.add(UInt64(messages)) }
        func handled(_ code: StatusCode, calls: Int = 1) { handledCounts[code.rawValue].add(UInt64(calls)) }

        /// Calls that took so long each, from their headers to their status.
        func took(nanoseconds: Int64, calls: Int = 1) {
            let seconds = Double(nanoseconds) / 1e9
            let bucket = handlingBounds.firstIndex { seconds <= $0 } ?? handlingBounds.count
            handlingCounts[bucket].add(UInt64(calls))
            handlingNanoseconds.add(UInt64(max(0, nanoseconds)) &* UInt64(calls))
        }

        var startedTotal: UInt64 { startedCount.value }
        var receivedTotal: UInt64 { receivedCount.value }
        var sentTotal: UInt64 { sentCount.value }
        func handledTotal(_ code: StatusCode) -> UInt64 { handledCounts[code.rawValue].value }
        var handling: (counts: [UInt64], seconds: Double) {
            (handlingCounts.map(\.value), Double(handlingNanoseconds.value) / 1e9)
        }
    }

    let methods: [Method]
    /// Calls to methods that do not exist.
    let unknown = Method()
    private let reachedCounts: [Counter] = LimitReached.allCases.map { _ in Counter() }

    func reached(_ limit: LimitReached, times: UInt64 = 1) { reachedCounts[limit.rawValue].add(times) }
    func reachedTotal(_ limit: LimitReached) -> UInt64 { reachedCounts[limit.rawValue].value }

    init(methods count: Int) { methods = (0..<count).map { _ in Method() } }
}

/// A count with one writer, so that a load and a store do for an atomic add.
private final class Counter: Sendable {
    private let count = Atomic<UInt64>(0)

    func add(_ amount: UInt64) { count.store(count.load(ordering: .relaxed) &+ amount, ordering: .relaxed) }
    var value: UInt64 { count.load(ordering: .relaxed) }
}

/// What became of the calls to one method since the server started.
public struct MethodStatistics: Sendable {
    /// Upper bounds of `handlingCounts`, in seconds.
    public static let handlingBounds = CallCounters.handlingBounds

    public var service: String
    public var method: String
    /// `unary` or `server_stream`, the words of the `grpc_type` label.
    public var type: String
    public var started: UInt64
    public var handled: [StatusCode: UInt64]
    public var messagesReceived: UInt64
    public var messagesSent: UInt64
    /// Calls by how long they took, each bucket its own; one more than the bounds.
    public var handlingCounts: [UInt64]
    public var handlingSeconds: Double
}
