import Testing

@testable import Orchestrator

@Suite struct EventRingTests {
    private func event(_ sequence: UInt64) -> Event {
        Event(
            sequence: sequence, type: .taskSubmitted, jobID: "j", time: Timestamp(nanoseconds: 0), attempt: 0,
            state: .queued, data: [], source: "rpc")
    }

    private func indexes(_ place: EventRing.Place) -> Range<Int>? {
        if case .segment(_, let indexes) = place { indexes } else { nil }
    }

    /// A client that had one of them, and came back at once, would be told that it is from another ledger.
    @Test func `a batch that is being appended can't be read`() {
        let ring = EventRing(maxEvents: 64, maxBytes: 1 << 20, lastSequence: 0)
        ring.append([event(1)]) { _ in [1] }
        var seen = 0
        // Of more than a segment, which is 8 events here.
        ring.append((2...20).map(event)) { event in
            seen += 1
            #expect(ring.lastSequence == 1)
            #expect(indexes(ring.place(after: 0)) == 0..<1)
            #expect(indexes(ring.place(after: 1)) == nil)
            return [UInt8(event.sequence)]
        }
        #expect(seen == 19 && ring.lastSequence == 20)
        #expect(indexes(ring.place(after: 0)) == 0..<8 && indexes(ring.place(after: 2)) == 2..<8)
        #expect(indexes(ring.place(after: 18)) == 2..<4 && indexes(ring.place(after: 20)) == nil)
    }
}
