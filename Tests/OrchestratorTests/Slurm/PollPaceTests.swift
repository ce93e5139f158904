import Testing

@testable import Orchestrator

@Suite struct PollPaceTests {
    /// In the middle of the jitter, where it changes nothing.
    private func waits(_ looks: [PollPace.Look]) -> [Duration] {
        var pace = PollPace(interval: .seconds(5))
        return looks.map { pace.wait(after: $0, jitter: 0.5) }
    }

    @Test func `an outage is asked about less and less, up to half a minute`() {
        #expect(
            waits(Array(repeating: .failed, count: 8))
                == [1, 2, 4, 8, 16, 30, 30, 30].map { .seconds($0) })
    }

    @Test func `what is about to change is looked at often, and not for ever`() {
        let all = waits(Array(repeating: .read(jobs: 1, isHot: true, hasChanged: false), count: 20))
        #expect(all.prefix(4).allSatisfy { $0 == .milliseconds(250) })
        #expect(all.last == .seconds(5))
        #expect(all == all.sorted())
    }

    @Test func `quiet makes it slow, a change quick again, and no jobs idle`() {
        let quiet = PollPace.Look.read(jobs: 500, isHot: false, hasChanged: false)
        let change = PollPace.Look.read(jobs: 500, isHot: false, hasChanged: true)
        let all = waits(Array(repeating: quiet, count: 40) + [change])
        #expect(all[0] == .seconds(5) && all[39] == .seconds(30) && all[40] == .seconds(5))
        #expect(waits([.read(jobs: 0, isHot: false, hasChanged: false)]) == [.seconds(60)])
    }

    @Test func `servers do not ask in step`() {
        var pace = PollPace(interval: .seconds(5))
        let look = PollPace.Look.read(jobs: 1, isHot: false, hasChanged: true)
        #expect(pace.wait(after: look, jitter: 0) == .seconds(4))
        #expect(pace.wait(after: look, jitter: 0.999) > .seconds(5.9))
    }
}
