import HeapModule
import Synchronization

/// How long the oldest waiting job of each class has waited: since its submission, or since the end of a retry's back-off.
/// A job that waits for others is not in anybody's way and does not count until they are done; neither does one that
/// another server has.
///
/// Who left is not looked for when it leaves: whether a job still waits is asked when its time would count, and now and
/// then of all of them, so that they can't pile up behind one that stays.
final class QueueAge: Sendable {
    private struct Waiting: Comparable {
        var since: Timestamp
        var id: String

        init(_ job: Job) {
            since = job.notBefore ?? job.submittedAt
            id = job.id
        }

        static func < (left: Waiting, right: Waiting) -> Bool { left.since < right.since }
    }

    private struct State {
        var heaps: [Heap<Waiting>] = JobClass.allCases.map { _ in Heap() }
        /// Who left since the heap was last made anew, by class.
        var left: [Int] = JobClass.allCases.map { _ in 0 }
    }

    private let state = Mutex(State())
    private let job: @Sendable (String) -> Job?

    /// - Parameter job: a job as it is after the newest batch.
    init(job: @escaping @Sendable (String) -> Job?) { self.job = job }

    /// At the start.
    func load(_ open: [Job]) {
        state.withLock { state in
            for job in open where job.waitsForItsTurn { enter(job, &state) }
        }
    }

    func observe(_ batch: CommittedBatch) {
        state.withLock { state in
            for change in batch.changes {
                if change.job.waitsForItsTurn {
                    if change.oldState != .queued { enter(change.job, &state) }
                } else if change.oldState == .queued {
                    leave(change.job, &state)
                }
            }
            for job in batch.released where job.waitsForItsTurn { enter(job, &state) }
        }
    }

    private func enter(_ job: Job, _ state: inout State) { state.heaps[Self.index(job.jobClass)].insert(Waiting(job)) }

    private func leave(_ job: Job, _ state: inout State) {
        let index = Self.index(job.jobClass)
        state.left[index] += 1
        guard state.left[index] > 64, state.left[index] > state.heaps[index].count / 2 else { return }
        state.left[index] = 0
        state.heaps[index] = Heap(state.heaps[index].unordered.filter { isCurrent($0) })
    }

    private func isCurrent(_ waiting: Waiting) -> Bool {
        guard let job = job(waiting.id), job.waitsForItsTurn else { return false }
        return Waiting(job).since == waiting.since
    }

    private func oldest(_ jobClass: JobClass, _ state: inout State) -> Timestamp? {
        let index = Self.index(jobClass)
        while let first = state.heaps[index].min {
            if isCurrent(first) { return first.since }
            state.heaps[index].removeMin()
        }
        return nil
    }

    /// Classes count from 1.
    private static func index(_ jobClass: JobClass) -> Int { Int(jobClass.rawValue) - 1 }

    /// Seconds, for each class; 0 when nothing waits.
    func seconds(at now: Timestamp) -> [JobClass: Double] {
        state.withLock { state in
            Dictionary(
                uniqueKeysWithValues: JobClass.allCases.map { jobClass in
                    let since = oldest(jobClass, &state) ?? now
                    return (jobClass, max(0, since.duration(to: now).inSeconds))
                })
        }
    }
}
