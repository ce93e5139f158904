import NIOCore
import Synchronization

/// Runs tasks on an event loop. What other threads resume gathers in one list, so that a batch of them costs the loop
/// one wake-up.
final class LoopExecutor: TaskExecutor {
    private let eventLoop: any EventLoop
    private let pending = Mutex<[UnownedJob]>([])

    init(_ eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    /// Starts a task that runs on the loop, and resumes there.
    func run(_ operation: @escaping @Sendable () async -> Void) -> Task<Void, Never> {
        Task(executorPreference: self, operation: operation)
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let isFirst = pending.withLock { pending in
            pending.append(job)
            return pending.count == 1
        }
        if isFirst { eventLoop.execute { self.runPending() } }
    }

    private func runPending() {
        let jobs = pending.withLock { pending in
            defer { pending = [] }
            return pending
        }
        for job in jobs { job.runSynchronously(on: asUnownedTaskExecutor()) }
    }
}
