/// The distribution a histogram has seen so far.
public struct HistogramSnapshot: Sendable, Equatable {
    /// Upper bounds, inclusive and ascending, without +Inf.
    public var bounds: [Double]
    /// How many values fell into each bucket, not cumulative; one more than `bounds`, the last is +Inf's.
    public var counts: [UInt64]
    public var sum: Double

    public init(bounds: [Double], counts: [UInt64], sum: Double) {
        self.bounds = bounds
        self.counts = counts
        self.sum = sum
    }

    public var count: UInt64 { counts.reduce(0, +) }

    /// The value below which the share `quantile` (0…1) of all values lies, as PromQL's `histogram_quantile` estimates
    /// it: linear within the bucket, so at most one bucket's width off. The first bucket starts at 0, and what lies
    /// beyond the last bound is taken as that bound. nil when nothing was observed.
    public func quantile(_ quantile: Double) -> Double? {
        let total = count
        guard total > 0, !bounds.isEmpty else { return nil }
        let rank = min(max(quantile, 0), 1) * Double(total)
        var below: UInt64 = 0
        for (index, upper) in bounds.enumerated() {
            let inBucket = counts[index]
            if inBucket > 0, Double(below + inBucket) >= rank {
                let lower = index == 0 ? min(0, upper) : bounds[index - 1]
                return lower + (upper - lower) * (rank - Double(below)) / Double(inBucket)
            }
            below += inBucket
        }
        return bounds.last
    }
}
