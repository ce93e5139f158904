import Orchestrator
import RPCServer
import ServiceLifecycle

// The long-lived parts as services: each runs until the group asks it to stop, and returns when it has.

struct SchedulerService: Service {
    let scheduler: Scheduler
    /// For the jobs that run when the server is asked to stop.
    let grace: Duration

    func run() async throws {
        let work = Task { await scheduler.run() }
        defer { work.cancel() }
        // Cancelled means that the ledger has failed: jobs outlive the server, and the next one finds out about them.
        do { try await gracefulShutdown() } catch { return }
        await scheduler.drain(grace: grace)
    }
}

struct SlurmService: Service {
    let bridge: SlurmBridge

    func run() async throws {
        let work = Task { await bridge.run() }
        try? await gracefulShutdown()
        await bridge.drain()
        work.cancel()
    }
}

struct FileQueueService: Service {
    let queue: FileQueue

    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await queue.run() }
            group.addTask { try? await gracefulShutdown() }
            defer { group.cancelAll() }
            try await group.next()
        }
        await queue.finish()
    }
}

struct RPCService: Service {
    let server: RPCServer
    /// For calls in flight; streams end at once.
    let grace: Duration

    func run() async throws {
        try? await gracefulShutdown()
        await server.shutDown(grace: grace)
    }
}

struct SinkService: Service {
    let runner: SinkRunner<ContinuousClock>

    func run() async throws {
        await withGracefulShutdownHandler {
            await runner.run()
        } onGracefulShutdown: {
            runner.stop()
        }
    }
}

/// Last to stop. Throws when the ledger can't go on, which ends the server.
struct LedgerService: Service {
    let ledger: Ledger

    func run() async throws {
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
