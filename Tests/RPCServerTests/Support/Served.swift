import Dispatch
import Logging
import RPCServer

/// Runs a server for the length of one test. The body has a thread of its own, so that its blocking client holds up
/// nobody else.
func withServer(
    _ methods: [RPCMethod], limits: ServerLimits = .defaults, policy: CallPolicy = CallPolicy(), loops: Int = 1,
    host: String = "127.0.0.1", minimumPingInterval: Duration = .zero,
    _ body: @escaping @Sendable (RPCServer) async throws -> Void
) async throws {
    var configuration = RPCServer.Configuration(host: host, port: 0, limits: limits, loops: loops)
    configuration.policy = policy
    // The client's round trips are PINGs, one right after the other.
    configuration.limits.lifetime.minimumPingInterval = minimumPingInterval
    let server = try await RPCServer.start(
        configuration, methods: methods,
        logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
    do {
        try await withTaskExecutorPreference(ThreadExecutor()) { try await body(server) }
    } catch {
        await server.shutDown(grace: .zero)
        throw error
    }
    await server.shutDown(grace: .zero)
}

private final class ThreadExecutor: TaskExecutor {
    private let queue = DispatchQueue(label: "test client")

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}

/// Something that happens in a handler or a source and is awaited by the test, on its own thread.
final class Signal: Sendable {
    struct Missing: Error {
        var signal: String
    }

    private let semaphore = DispatchSemaphore(value: 0)
    private let name: String

    init(_ name: String) { self.name = name }

    func raise() { semaphore.signal() }

    func wait() throws {
        guard semaphore.wait(timeout: .now() + .seconds(180)) == .success else { throw Missing(signal: name) }
    }
}

/// Asks again until the condition holds, for what the server does on its own time.
func eventually(_ what: String, _ condition: () async -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(180)
    while !(await condition()) {
        guard ContinuousClock.now < deadline else { throw Signal.Missing(signal: what) }
        // Lest the tests beside this one wait for its processor.
        try await Task.sleep(for: .milliseconds(1))
    }
}

/// Returns when the task is cancelled, and not before.
func untilCancelled() async {
    let (never, continuation) = AsyncStream<Never>.makeStream()
    for await _ in never {}
    withExtendedLifetime(continuation) {}
}
