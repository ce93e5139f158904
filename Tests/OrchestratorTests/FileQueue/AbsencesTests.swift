import Testing

@testable import Orchestrator

@Suite struct AbsencesTests {
    private func at(_ seconds: Int64) -> Timestamp { Timestamp(nanoseconds: seconds * 1_000_000_000) }

    private func looked(_ absences: inout Absences, missing: Set<String>, at second: Int64) -> [String] {
        absences.looked(missing: missing, limit: .seconds(300), now: at(second))
    }

    @Test func `a task is gone after a continuous absence`() {
        var absences = Absences()
        #expect(looked(&absences, missing: ["a"], at: 0) == [])
        #expect(looked(&absences, missing: ["a", "b"], at: 299) == [])
        #expect(looked(&absences, missing: ["a", "b"], at: 300) == ["a"])
    }

    @Test func `one that appears again, or that nobody could look for, begins anew`() {
        var absences = Absences()
        #expect(looked(&absences, missing: ["a", "b"], at: 0) == [])
        #expect(looked(&absences, missing: ["b"], at: 100) == [])
        #expect(looked(&absences, missing: ["a", "b"], at: 300) == ["b"])
        absences.interrupted()
        #expect(looked(&absences, missing: ["a", "b"], at: 400) == [])
        #expect(looked(&absences, missing: ["a", "b"], at: 699) == [])
        #expect(looked(&absences, missing: ["a", "b"], at: 700).sorted() == ["a", "b"])
    }
}
