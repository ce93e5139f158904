import Testing

@testable import Orchestrator

@Suite struct LedgerBatchTests {
    /// A child comes and its parent ends between the same two commits, in this order.
    @Test(arguments: [(nil, .succeeded, 0), (FailureReason.exitCode, .failed, 1)] as [(FailureReason?, JobState, Int)])
    func `a parent that ends in the batch of its child's submission is seen`(
        failure: FailureReason?, state: JobState, openParents: Int
    ) throws {
        let now = Timestamp(nanoseconds: 0)
        var parent = Job(spec: JobSpec(id: "parent"), submittedAt: now)
        parent.state = .running
        parent.attempt = 1
        let row = JobRow(number: 1, job: parent)
        func committed(_ key: JobKey) -> JobRow? { key.id == "parent" ? row : nil }

        var batch = LedgerBatch(lastSequence: 2, openJobs: 1, maxOpenJobs: 10, now: now)
        let spec = JobSpec(id: "child", dependsOn: ["parent"])
        let child = try batch.apply(.submit(spec), key: JobKey("child"), jitter: 0, committed: committed)
        #expect(child.job.openParents == 1)
        let outcome = AttemptOutcome(exitCode: failure == nil ? 0 : 1, failure: failure)
        _ = try batch.apply(.finish(attempt: 1, outcome), key: JobKey("parent"), jitter: 0, committed: committed)
        batch.settleParents()
        let change = try #require(batch.changes.first { $0.row.job.id == "child" })
        #expect(change.parents == ["parent": state])
        #expect(change.row.job.openParents == openParents)
    }
}
