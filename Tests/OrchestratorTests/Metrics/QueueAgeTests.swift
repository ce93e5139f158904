import Synchronization
import Testing

@testable import Orchestrator

@Suite struct QueueAgeTests {
    private let jobs = Jobs()
    private let age: QueueAge

    init() { age = QueueAge { [jobs] id in jobs.current.withLock { $0[id] } } }

    /// The jobs as they are.
    private final class Jobs: Sendable {
        let current = Mutex<[String: Job]>([:])

        func set(_ job: Job) { current.withLock { $0[job.id] = job } }
    }

    private func at(_ seconds: Int64) -> Timestamp { Timestamp(nanoseconds: seconds * 1_000_000_000) }

    private func job(_ id: String, submitted: Int64, state: JobState = .queued) -> Job {
        var job = Job(spec: JobSpec(id: id), submittedAt: at(submitted))
        job.state = state
        return job
    }

    private func commit(_ job: Job, from old: JobState?) {
        jobs.set(job)
        age.observe(
            CommittedBatch(
                events: [], changeOfEvent: [], changes: [CommittedBatch.Change(job: job, oldState: old)], rows: 0,
                commitSeconds: 0))
    }

    private func seconds(_ now: Int64) -> Double? { age.seconds(at: at(now))[.cpuShort] }

    @Test func `nothing waits for no time`() {
        #expect(age.seconds(at: at(5)) == Dictionary(uniqueKeysWithValues: JobClass.allCases.map { ($0, 0) }))
    }

    @Test func `the oldest that waits counts, until it starts`() {
        commit(job("a", submitted: 10), from: nil)
        commit(job("b", submitted: 15), from: nil)
        #expect(seconds(20) == 10)
        commit(job("a", submitted: 10, state: .running), from: .queued)
        #expect(seconds(20) == 5)
        commit(job("b", submitted: 15, state: .cancelled), from: .queued)
        #expect(seconds(20) == 0)
    }

    @Test func `a retry waits from the end of its back-off`() {
        commit(job("a", submitted: 10), from: nil)
        commit(job("a", submitted: 10, state: .running), from: .queued)
        var retry = job("a", submitted: 10)
        retry.notBefore = at(30)
        commit(retry, from: .running)
        #expect(seconds(25) == 0)
        #expect(seconds(34) == 4)
    }

    @Test func `who waits for others counts once they are done`() {
        var child = job("child", submitted: 10)
        child.openParents = 1
        commit(child, from: nil)
        #expect(seconds(20) == 0)
        child.openParents = 0
        jobs.set(child)
        age.observe(
            CommittedBatch(events: [], changeOfEvent: [], changes: [], rows: 0, commitSeconds: 0, released: [child]))
        #expect(seconds(20) == 10)
    }

    @Test func `jobs from before the start count`() {
        let open = [job("a", submitted: 1), job("b", submitted: 0, state: .running)]
        for job in open { jobs.set(job) }
        age.load(open)
        #expect(seconds(3) == 2)
    }

    @Test func `those that left don't pile up behind one that stays`() {
        commit(job("stays", submitted: 0), from: nil)
        for number in 1...1000 {
            commit(job("\(number)", submitted: Int64(number)), from: nil)
            commit(job("\(number)", submitted: Int64(number), state: .cancelled), from: .queued)
        }
        #expect(seconds(2000) == 2000)
        commit(job("stays", submitted: 0, state: .running), from: .queued)
        #expect(seconds(2000) == 0)
    }
}
