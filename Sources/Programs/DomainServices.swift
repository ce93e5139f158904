import Orchestrator
import ServiceLifecycle

// The domain's long-lived parts as services: each runs until the group asks it to stop, and returns when it has.

package struct SchedulerService: Service {
    private let scheduler: Scheduler
    /// For the jobs that run when the server is asked to stop.
    private let grace: Duration
    private let queue: FileQueue
    private let patience: Duration?

    /// - Parameters:
    ///   - queue: whose service runs beside this one; nothing starts before it knows which claims are still its own.
    ///   - patience: with a queue's directory that can't be used now; nil where there are no jobs but the queue's.
    package init(scheduler: Scheduler, grace: Duration, queue: FileQueue, patience: Duration?) {
        self.scheduler = scheduler
        self.grace = grace
        self.queue = queue
        self.patience = patience
    }

    package func run() async throws {
        let work = Task {
            await queue.untilStockIsTaken(patience: patience)
            await scheduler.run()
        }
        defer { work.cancel() }
        // Cancelled means that the ledger has failed: jobs outlive the server, and the next one finds out about them.
        do { try await gracefulShutdown() } catch { return }
        await scheduler.drain(grace: grace)
    }
}

package struct FileQueueService: Service {
    private let queue: FileQueue

    package init(queue: FileQueue) {
        self.queue = queue
    }

    package func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await queue.run() }
            group.addTask { try? await gracefulShutdown() }
            defer { group.cancelAll() }
            try await group.next()
        }
        await queue.finish()
    }
}

/// Last to stop. Throws when the ledger can't go on, which ends the server.
package struct LedgerService: Service {
    private let ledger: Ledger

    package init(ledger: Ledger) {
        self.ledger = ledger
    }

    package func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { [ledger] in
                try? await gracefulShutdown()
                await ledger.close()
            }
            group.addTask { [ledger] in try await ledger.untilClosed() }
            defer { group.cancelAll() }
            for try await _ in group {}
        }
    }
}
