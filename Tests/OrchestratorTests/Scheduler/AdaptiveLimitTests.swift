import Testing

@testable import Orchestrator

@Suite struct AdaptiveLimitTests {
    private typealias Observation = AdaptiveLimit.Observation

    private static func busy(_ limit: Int) -> Observation {
        Observation(waiting: 100, longestWait: .seconds(1), inFlight: limit, ended: 10)
    }

    /// Grown to its ceiling.
    private func grown(_ floor: Int = 1, _ ceiling: Int = 64) -> AdaptiveLimit {
        var limit = AdaptiveLimit(ConcurrencyRange(floor: floor, ceiling: ceiling))
        for _ in 0..<20 { _ = limit.observed(Self.busy(limit.limit)) }
        #expect(limit.limit == ceiling)
        return limit
    }

    @Test func `it starts at the floor and doubles while jobs wait`() {
        var limit = AdaptiveLimit(ConcurrencyRange(floor: 2, ceiling: 20))
        #expect(limit.limit == 2)
        #expect((0..<5).map { _ in limit.observed(Self.busy(limit.limit)) } == [4, 8, 16, 20, 20])
    }

    @Test func `it does not grow when nothing is held back`() {
        var limit = AdaptiveLimit(ConcurrencyRange(floor: 4, ceiling: 20))
        #expect(limit.observed(Observation(waiting: 0, inFlight: 4)) == 4)
        #expect(limit.observed(Observation(waiting: 9, inFlight: 3)) == 4)
        #expect(limit.observed(Observation(waiting: 0, longestWait: .milliseconds(200), inFlight: 4)) == 8)
    }

    @Test func `want of memory takes three tenths away at once, and then it grows by one`() {
        var limit = grown()
        var pressed = Self.busy(64)
        pressed.pressure.memory = 0.5
        #expect(limit.observed(pressed) == 44)
        // What is seen right after it is still of before.
        for _ in 0..<AdaptiveLimit.deafness { #expect(limit.observed(pressed) == 44) }
        #expect(limit.observed(Self.busy(44)) == 45)
        #expect(limit.observed(Self.busy(45)) == 46)
    }

    @Test func `attempts that the machine could not bear make it smaller, a command's own errors do not`() {
        var limit = grown()
        var failing = Self.busy(64)
        failing.strained = 3
        #expect(limit.observed(failing) == 44)
        var other = grown()
        var few = Self.busy(64)
        few.ended = 2
        few.strained = 2
        #expect(other.observed(few) == 64)
    }

    @Test func `it is never below the floor nor above the ceiling`() {
        var limit = grown(10, 12)
        var pressed = Self.busy(12)
        pressed.pressure.memory = 1
        for _ in 0..<50 { #expect(limit.observed(pressed) >= 10) }
        #expect(limit.limit == 10)
    }

    @Test func `a busy machine keeps it where it is`() {
        var limit = AdaptiveLimit(ConcurrencyRange(floor: 1, ceiling: 64))
        var seen = Self.busy(1)
        seen.pressure.cpu = 0.95
        #expect(limit.observed(seen) == 1)
        // The load counts where there is no PSI.
        seen.pressure = MachinePressure(load: 3)
        #expect(limit.observed(seen) == 1)
        seen.pressure = MachinePressure(cpu: 0.1, load: 3)
        #expect(limit.observed(seen) == 2)
    }

    @Test func `places that nobody uses are given up one by one`() {
        var limit = grown(1, 8)
        for _ in 0..<AdaptiveLimit.idleness { _ = limit.observed(Observation(inFlight: 1)) }
        #expect(limit.limit == 7)
        for _ in 0..<(20 * AdaptiveLimit.idleness) { _ = limit.observed(Observation(inFlight: 0)) }
        #expect(limit.limit == 1)
    }

    @Test func `a decrease counts from what runs, not from a limit that was never reached`() {
        var limit = grown()
        var pressed = Observation(waiting: 0, inFlight: 10)
        pressed.pressure.memory = 1
        #expect(limit.observed(pressed) == 7)
    }

    @Test func `the kernel's texts are read, and absent ones are nothing`() {
        let pressure = MachinePressure(
            cpu: "some avg10=25.50 avg60=1.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
            memory: "", load: "3.00 2.00 1.00 1/100 4242\n", processors: 2)
        #expect(pressure == MachinePressure(cpu: 0.255, memory: nil, load: 1.5))
        #expect(MachinePressure(cpu: "", memory: "x", load: "", processors: 0) == MachinePressure())
    }
}
