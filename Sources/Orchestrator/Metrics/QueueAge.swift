import HeapModule
import Synchronization

/// How long the oldest waiting job of each class has waited: since its submission, or since the end of a retry's back-off.
/// A job that waits for others is not in anybody's way and does not count until they are done; neither does one that
/// another server has.
final class QueueAge: Sendable {
    private struct Waiting: Comparable {
        var since: Timestamp
        var id: String
        /// An entry counts while it is the newest of its job.
        var ticket: UInt64

        static func < (left: Waiting, right: Waiting) -> Bool {
            (left.since, left.ticket) < (right.since, right.ticket)
        }
    }

    private struct State {
        var heaps: [JobClass: Heap<Waiting>] = [:]
        var tickets: [String: UInt64] = [:]
        var last: UInt64 = 0

        mutating func enter(_ job: Job) {
            last += 1
            tickets[job.id] = last
            heaps[job.jobClass, default: Heap()].insert(
                Waiting(since: job.notBefore ?? job.submittedAt, id: job.id, ticket: last))
        }

        mutating func leave(_ job: Job) {
            guard tickets.removeValue(forKey: job.id) != nil else { return }
            // What has left goes when it comes up; so that it can't pile up behind one that stays, all of it now and then.
            if let heap = heaps[job.jobClass], heap.count > 64, heap.count > 2 * tickets.count {
                let current = tickets
                heaps[job.jobClass] = Heap(heap.unordered.filter { current[$0.id] == $0.ticket })
            }
        }

        mutating func oldest(_ jobClass: JobClass) -> Timestamp? {
            while let first = heaps[jobClass]?.min {
                if tickets[first.id] == first.ticket { return first.since }
                heaps[jobClass]?.removeMin()
            }
            return nil
        }
    }

    private let state = Mutex(State())

    /// At the start.
    func load(_ open: [Job]) {
        state.withLock { state in
            for job in open where Self.waits(job) { state.enter(job) }
        }
    }

    func observe(_ batch: CommittedBatch) {
        state.withLock { state in
            for change in batch.changes {
                if !Self.waits(change.job) {
                    state.leave(change.job)
                } else if change.oldState != .queued {
                    state.enter(change.job)
                }
            }
            for job in batch.released where Self.waits(job) { state.enter(job) }
        }
    }

    private static func waits(_ job: Job) -> Bool { job.waitsForItsTurn }

    /// Seconds, for each class; 0 when nothing waits.
    func seconds(at now: Timestamp) -> [JobClass: Double] {
        state.withLock { state in
            Dictionary(
                uniqueKeysWithValues: JobClass.allCases.map { jobClass in
                    let since = state.oldest(jobClass) ?? now
                    return (jobClass, max(0, since.duration(to: now).inSeconds))
                })
        }
    }
}
