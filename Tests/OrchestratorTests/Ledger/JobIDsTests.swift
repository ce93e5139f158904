import Testing

@testable import Orchestrator

@Suite struct JobIDsTests {
    @Test func `every id is another one, from any thread`() async {
        let source = JobIDs()
        let ids = await withTaskGroup(of: [String].self) { group in
            for _ in 0..<8 { group.addTask { (0..<1_000).map { _ in source.next(at: Timestamp(nanoseconds: 0)) } } }
            return await group.reduce(into: []) { $0 += $1 }
        }
        #expect(Set(ids).count == 8_000)
        // RFC 9562: version 7, variant 10.
        #expect(ids.allSatisfy { $0.utf8.count == 36 && Array($0)[14] == "7" && "89ab".contains(Array($0)[19]) })
    }
}
