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
