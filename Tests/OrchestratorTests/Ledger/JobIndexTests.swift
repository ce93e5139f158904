import Testing

@testable import Orchestrator

@Suite struct JobIndexTests {
    private func ended(_ id: String, number: UInt64) -> JobRow {
        var job = Job(spec: JobSpec(id: id, jobClass: .gpuSlurm), submittedAt: Timestamp(nanoseconds: 0))
        job.state = .succeeded
        return JobRow(number: number, job: job)
    }

    @Test func `an ended job that changes once more takes no other job's place in memory`() {
        let index = JobIndex(recentJobs: 2, recentBytes: 1 << 20)
        index.apply([LedgerBatch.Change(row: ended("first", number: 1), oldState: nil)])
        index.apply([LedgerBatch.Change(row: ended("second", number: 2), oldState: nil)])
        for _ in 0..<10 { index.apply([LedgerBatch.Change(row: ended("second", number: 2), oldState: .succeeded)]) }
        #expect(index.row("first") != nil && index.row("second") != nil)

        index.apply([LedgerBatch.Change(row: ended("third", number: 3), oldState: nil)])
        #expect(index.row("first") == nil && index.row("second") != nil && index.row("third") != nil)
    }

    @Test func `bytes in memory are counted once for each ended job`() {
        let index = JobIndex(recentJobs: 100, recentBytes: 3 * 1_024)
        index.apply([LedgerBatch.Change(row: ended("first", number: 1), oldState: nil)])
        for _ in 0..<10 { index.apply([LedgerBatch.Change(row: ended("first", number: 1), oldState: .succeeded)]) }
        index.apply([LedgerBatch.Change(row: ended("second", number: 2), oldState: nil)])
        #expect(index.row("first") != nil && index.row("second") != nil)
    }
}
