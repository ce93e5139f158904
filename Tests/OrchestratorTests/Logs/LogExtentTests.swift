import Testing

@testable import Orchestrator

@Suite struct LogExtentTests {
    @Test func `all that was written is kept when it is under the cap`() {
        let extent = LogExtent(kept: 10, total: 10, tail: 0)
        #expect(extent.place(of: 0) == .beginning && extent.place(of: 9) == .beginning)
        #expect(extent.place(of: 10) == .end)
        #expect(!extent.isTruncated(at: 10))
    }

    @Test func `an end that goes on where the beginning stops is no gap`() {
        let extent = LogExtent(kept: 10, total: 14, tail: 4)
        #expect(extent.place(of: 9) == .beginning)
        #expect(extent.place(of: 10) == .tail(at: 0, offset: 10))
        #expect(extent.place(of: 12) == .tail(at: 2, offset: 12))
        #expect(extent.place(of: 14) == .end)
        #expect(!extent.isTruncated(at: 12))
    }

    @Test func `an offset in the gap goes on with what is kept of the end`() {
        let extent = LogExtent(kept: 10, total: 100, tail: 20)
        for offset: UInt64 in [10, 50, 80] { #expect(extent.place(of: offset) == .tail(at: 0, offset: 80)) }
        #expect(extent.place(of: 99) == .tail(at: 19, offset: 99))
        #expect(extent.place(of: 100) == .end)
        #expect(!extent.isTruncated(at: 9) && extent.isTruncated(at: 80))
    }

    @Test func `an end that could not be kept leaves a gap up to the end`() {
        let extent = LogExtent(kept: 10, total: 100, tail: 0)
        #expect(extent.place(of: 10) == .tail(at: 0, offset: 100))
        #expect(extent.isTruncated(at: 100))
    }

    @Test func `without a record the file says how long it is`() {
        let extent = LogExtent(kept: 10, total: 0, tail: 0)
        #expect(extent.total == 10)
        #expect(extent.place(of: 10) == .end)
    }
}
