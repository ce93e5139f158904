import Synchronization

/// One series that code updates in place. Updates are cheap enough for a hot path: an atomic, or a mutex held for a few
/// instructions. Code that counts often keeps the instrument rather than looking it up by its labels each time.
public protocol Instrument: AnyObject, Sendable {
    var value: MetricValue { get }
}

/// A number that only grows, from 0 at the server's start.
public final class Counter: Instrument {
    private let count = Atomic<UInt64>(0)

    public init() {}

    public func increment(by amount: UInt64 = 1) { count.wrappingAdd(amount, ordering: .relaxed) }

    public var total: UInt64 { count.load(ordering: .relaxed) }
    public var value: MetricValue { .number(Double(total)) }
}

/// A number that goes up and down.
public final class Gauge: Instrument {
    private let bits = Atomic<UInt64>(0.0.bitPattern)

    public init() {}

    public func set(_ newValue: Double) { bits.store(newValue.bitPattern, ordering: .relaxed) }

    public func add(_ amount: Double) {
        var seen = bits.load(ordering: .relaxed)
        while true {
            let sum = (Double(bitPattern: seen) + amount).bitPattern
            let (exchanged, original) = bits.weakCompareExchange(expected: seen, desired: sum, ordering: .relaxed)
            if exchanged { return }
            seen = original
        }
    }

    public var current: Double { Double(bitPattern: bits.load(ordering: .relaxed)) }
    public var value: MetricValue { .number(current) }
}

/// A distribution over fixed buckets.
public final class Histogram: Instrument {
    private struct State {
        var counts: [UInt64]
        var sum = 0.0
    }

    public let bounds: [Double]
    private let state: Mutex<State>

    /// - Parameter bounds: the buckets' upper bounds, in any order; +Inf is added by itself.
    public init(bounds: [Double]) {
        self.bounds = Set(bounds.filter(\.isFinite)).sorted()
        self.state = Mutex(State(counts: Array(repeating: 0, count: self.bounds.count + 1)))
    }

    /// NaN is ignored: it would make the sum useless for ever.
    public func observe(_ value: Double) {
        guard !value.isNaN else { return }
        let bucket = bounds.firstIndex { value <= $0 } ?? bounds.count
        state.withLock { state in
            state.counts[bucket] += 1
            state.sum += value
        }
    }

    public var snapshot: HistogramSnapshot {
        state.withLock { HistogramSnapshot(bounds: bounds, counts: $0.counts, sum: $0.sum) }
    }

    public var value: MetricValue { .histogram(snapshot) }
}

extension Histogram {
    /// Seconds, from a millisecond to a day: fits a queue's wait and a job's run alike.
    public static let jobSeconds: [Double] = [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200,
        14_400, 43_200, 86_400,
    ]
    /// Seconds, from 100 µs to 10 s: fits a disk's commit.
    public static let commitSeconds: [Double] = [
        0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 10,
    ]
    /// Powers of two up to 4096: fits the size of a batch.
    public static let batchSize: [Double] = (0...12).map { Double(1 << $0) }
}
