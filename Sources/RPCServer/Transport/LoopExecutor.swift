import NIOCore
import Synchronization

/// Runs tasks, and what else other threads have for it, on an event loop. What they hand in gathers in one list, so that a
/// batch costs the loop one wake-up.
final class LoopExecutor: TaskExecutor {
    private enum Work {
        case job(UnownedJob)
        case call(@Sendable () -> Void)
    }

    private let eventLoop: any EventLoop
    private let pending = Mutex<[Work]>([])

    init(_ eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    /// Starts a task that runs on the loop, and resumes there.
    func task(_ operation: @escaping @Sendable () async -> Void) -> Task<Void, Never> {
        Task(executorPreference: self, operation: operation)
    }

    func run(_ call: @escaping @Sendable () -> Void) { add(.call(call)) }

    func enqueue(_ job: consuming ExecutorJob) { add(.job(UnownedJob(job))) }

    private func add(_ work: Work) {
        let isFirst = pending.withLock { pending in
            pending.append(work)
            return pending.count == 1
        }
        if isFirst { eventLoop.execute { self.runPending() } }
    }

    private func runPending() {
        let gathered = pending.withLock { pending in
            defer { pending = [] }
            return pending
        }
        for work in gathered {
            switch work {
            case .job(let job): job.runSynchronously(on: asUnownedTaskExecutor())
            case .call(let call): call()
            }
        }
    }
}
