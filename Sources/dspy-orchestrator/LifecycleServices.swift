import Orchestrator
import RPCServer
import ServiceLifecycle

// The long-lived parts as services: each runs until the group asks it to stop, and returns when it has.

struct SlurmService: Service {
    let bridge: SlurmBridge

    func run() async throws {
        let work = Task { await bridge.run() }
        try? await gracefulShutdown()
        await bridge.drain()
        work.cancel()
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

/// All of them at once: each has the whole grace.
struct SinkServices: Service {
    let runners: [SinkRunner<ContinuousClock>]

    func run() async throws {
        await withGracefulShutdownHandler {
            await withTaskGroup(of: Void.self) { group in
                for runner in runners { group.addTask { await runner.run() } }
            }
        } onGracefulShutdown: {
            for runner in runners { runner.stop() }
        }
    }
}
