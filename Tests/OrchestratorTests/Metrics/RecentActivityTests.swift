import Testing

@testable import Orchestrator

@Suite struct RecentActivityTests {
    private func batch(_ type: EventType, at seconds: Int64, ran: Double = 1) -> CommittedBatch {
        let time = Timestamp(nanoseconds: seconds * 1_000_000_000)
        var job = Job(spec: JobSpec(id: "a"), submittedAt: time)
        job.startedAt = time.advanced(by: .seconds(-ran))
        let event = Event(
            sequence: 1, type: type, jobID: "a", time: time, attempt: 1, state: .succeeded, data: [], source: "runner")
        return CommittedBatch(
            events: [event], changeOfEvent: [0], changes: [CommittedBatch.Change(job: job, oldState: .running)],
            rows: 1, commitSeconds: 0)
    }

    @Test func `each thing counts in the step of its time, and old steps go`() {
        let activity = RecentActivity()
        activity.observe(batch(.taskSubmitted, at: 1_000))
        activity.observe(batch(.taskCompleted, at: 1_009, ran: 4))
        activity.observe(batch(.taskFailed, at: 1_010))
        activity.observe(batch(.taskCancelled, at: 1_030))
        var recent = activity.recent(at: Timestamp(nanoseconds: 1_039_000_000_000))
        #expect(recent.end.seconds == 1_040)
        #expect(recent.steps.count == RecentActivity.steps)
        let newest = recent.steps.suffix(4)
        #expect(newest.map(\.submitted) == [1, 0, 0, 0])
        #expect(newest.map(\.succeeded) == [1, 0, 0, 0])
        #expect(newest.map(\.failed) == [0, 1, 0, 0])
        #expect(newest.map(\.cancelled) == [0, 0, 0, 1])
        let p95 = recent.steps[RecentActivity.steps - 4].p95Seconds ?? 0
        #expect(p95 > 2.5 && p95 <= 5)
        #expect(recent.steps[RecentActivity.steps - 2].p95Seconds == nil)

        recent = activity.recent(at: Timestamp(nanoseconds: 10_000_000_000_000))
        #expect(recent.steps.allSatisfy { $0 == RecentActivity.Step() })
    }

    @Test func `a clock that was set back does not stop the counting`() {
        let activity = RecentActivity()
        activity.observe(batch(.taskCompleted, at: 2_000))
        activity.observe(batch(.taskCompleted, at: 1_000))
        let recent = activity.recent(at: Timestamp(nanoseconds: 1_001_000_000_000))
        #expect(recent.steps.last?.succeeded == 2)
        #expect(recent.end.seconds == 2_010)
    }
}
