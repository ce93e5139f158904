import Testing

@testable import Orchestrator

@Suite struct HistogramTests {
    @Test func `a value on a bound falls into that bound's bucket, one above all into +Inf's`() {
        let histogram = Histogram(bounds: [2, 1])
        for value in [0.5, 1, 1.5, 2, 3] { histogram.observe(value) }
        #expect(histogram.snapshot == HistogramSnapshot(bounds: [1, 2], counts: [2, 2, 1], sum: 8))
    }

    @Test func `NaN is not counted`() {
        let histogram = Histogram(bounds: [1])
        histogram.observe(.nan)
        #expect(histogram.snapshot.count == 0)
        #expect(histogram.snapshot.sum == 0)
    }

    @Test func `a quantile lies linearly within its bucket`() {
        let snapshot = HistogramSnapshot(bounds: [10, 20, 40], counts: [0, 10, 10, 0], sum: 0)
        #expect(snapshot.quantile(0.25) == 15)
        #expect(snapshot.quantile(0.5) == 20)
        #expect(snapshot.quantile(0.75) == 30)
        #expect(snapshot.quantile(1) == 40)
        #expect(snapshot.quantile(0) == 10)
    }

    @Test func `the first bucket starts at zero and what is beyond the last bound counts as it`() {
        #expect(HistogramSnapshot(bounds: [8], counts: [4, 0], sum: 0).quantile(0.5) == 4)
        #expect(HistogramSnapshot(bounds: [8], counts: [0, 4], sum: 0).quantile(0.5) == 8)
    }

    @Test func `there is no quantile of nothing`() {
        #expect(HistogramSnapshot(bounds: [1], counts: [0, 0], sum: 0).quantile(0.5) == nil)
    }
}
