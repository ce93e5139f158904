import Logging
import NIOCore
import NIOSSL
import Protocol
import Synchronization

/// A gRPC server that knows no service: it is given methods, listens, and answers.
public final class RPCServer: Sendable {
    public struct Configuration: Sendable {
        public var host: String
        /// 0 picks a free one.
        public var port: Int
        public var limits: ServerLimits
        /// Event loops; each has its share of the connections.
        public var loops: Int
        public var backlog: Int32 = 1_024
        public var policy = CallPolicy()
        /// What connections are encrypted with; asked for each new one, so that it can change. Must offer `h2` (ALPN).
        /// Default: plain text.
        public var tls: (@Sendable () -> NIOSSLContext)?

        public init(
            host: String = "127.0.0.1", port: Int = 50_051, limits: ServerLimits = .defaults,
            loops: Int = System.coreCount
        ) {
            self.host = host
            self.port = port
            self.limits = limits
            self.loops = loops
        }
    }

    private struct Loop: Sendable {
        let eventLoop: any EventLoop
        let context: NIOLoopBound<LoopContext>
        let calls: CallCounters
        /// A wake-up is on its way: later ones ride with it.
        let wakePending: WakeFlag
    }

    private final class WakeFlag: Sendable {
        let isSet = Atomic<Bool>(false)
    }

    private let router: Router
    private let source: any ConnectionSource
    private let loops: [Loop]
    private let counts: ConnectionCounters
    private let logger: Logger
    private let hasShutDownBegun = Atomic<Bool>(false)
    /// The loops take no work any more.
    private let isShutDown = Atomic<Bool>(false)

    public let host: String
    public let port: Int

    /// Binds, and accepts calls from then on.
    /// - Throws: NIO's error when the address can't be bound.
    public static func start(
        _ configuration: Configuration, methods: [RPCMethod], logger: Logger
    ) async throws -> RPCServer {
        let router = Router(methods)
        let counts = ConnectionCounters(limit: configuration.limits.maxConnections)
        let source: any ConnectionSource =
            if let tls = configuration.tls {
                ChannelSource(loops: configuration.loops, tls: tls)
            } else {
                try SocketSource(loops: configuration.loops)
            }
        do {
            var loops: [Loop] = []
            for eventLoop in source.eventLoops {
                let calls = CallCounters(methods: methods.count)
                let context = try await eventLoop.submit {
                    NIOLoopBound(
                        LoopContext(
                            eventLoop: eventLoop, calls: calls, counts: counts, logger: logger,
                            policy: configuration.policy, loops: configuration.loops), eventLoop: eventLoop)
                }.get()
                loops.append(Loop(eventLoop: eventLoop, context: context, calls: calls, wakePending: WakeFlag()))
            }
            let limits = configuration.limits
            let address = try await source.listen(
                configuration, on: loops.map(\.context), counts: counts
            ) { loop in try ConnectionDriver(loop: loop, router: router, limits: limits) }
            return RPCServer(
                router: router, source: source, loops: loops, counts: counts, address: address, logger: logger)
        } catch {
            await source.end()
            throw error
        }
    }

    private init(
        router: Router, source: any ConnectionSource, loops: [Loop], counts: ConnectionCounters,
        address: SocketAddress?, logger: Logger
    ) {
        self.router = router
        self.source = source
        self.loops = loops
        self.counts = counts
        self.logger = logger
        host = address?.ipAddress ?? ""
        port = address?.port ?? 0
    }

    /// Asks every stream that had nothing to send again: something new is there. Cheap to call often, from any thread;
    /// a loop that has not come round to the last call is not woken twice.
    public func wakeStreams() {
        guard !isShutDown.load(ordering: .acquiring) else { return }
        for loop in loops where !loop.wakePending.isSet.exchange(true, ordering: .acquiringAndReleasing) {
            loop.eventLoop.execute {
                // Not a store: whoever found the flag set must have its news seen by the reads below.
                _ = loop.wakePending.isSet.exchange(false, ordering: .acquiringAndReleasing)
                for driver in loop.context.value.connections.values { driver.resumeStreams() }
            }
        }
    }

    /// Stops accepting, says goodbye to every connection, and waits for the calls in flight; what is left after the
    /// grace is cut off. A second call returns at once.
    public func shutDown(grace: Duration) async {
        guard !hasShutDownBegun.exchange(true, ordering: .acquiringAndReleasing) else { return }
        await source.stopListening()
        for loop in loops {
            loop.eventLoop.execute { loop.context.value.beginDraining() }
        }
        let deadline = ContinuousClock.now + grace
        while await openConnections() > 0, ContinuousClock.now < deadline {
            try? await Task.sleep(for: .milliseconds(10))
        }
        for loop in loops {
            _ = try? await loop.eventLoop.submit {
                for driver in loop.context.value.connections.values { driver.close() }
            }.get()
        }
        isShutDown.store(true, ordering: .releasing)
        await source.end()
    }

    public func openConnections() async -> Int { await sum { $0.connections.count } }

    /// Calls that have come and whose streams have not closed yet.
    public func openCalls() async -> Int { await sum { $0.connections.values.reduce(0) { $0 + $1.openCalls } } }

    /// HTTP/2 streams that are open, calls or not.
    func openStreams() async -> Int { await sum { $0.connections.values.reduce(0) { $0 + $1.openStreams } } }

    private func sum(_ count: @escaping @Sendable (LoopContext) -> Int) async -> Int {
        var total = 0
        for loop in loops where !isShutDown.load(ordering: .acquiring) {
            total += (try? await loop.eventLoop.submit { count(loop.context.value) }.get()) ?? 0
        }
        return total
    }

    /// Counts of connections, and of those the server ended by why.
    public func connectionStatistics() -> ConnectionStatistics {
        var statistics = counts.statistics
        for limit in LimitReached.allCases {
            statistics.reached[limit] = loops.reduce(0) { $0 + $1.calls.reachedTotal(limit) }
        }
        return statistics
    }

    /// Counts by method, summed over the loops; the last entry is for methods that do not exist.
    public func statistics() -> [MethodStatistics] {
        var statistics = router.methods.enumerated().map { index, method in
            let parts = method.path.split(separator: "/")
            return sum(
                loops.map { $0.calls.methods[index] }, service: String(parts.first ?? ""),
                method: String(parts.last ?? ""), type: method.kind.rawValue)
        }
        statistics.append(sum(loops.map(\.calls.unknown), service: "other", method: "other", type: "unary"))
        return statistics
    }

    private func sum(
        _ counters: [CallCounters.Method], service: String, method: String, type: String
    ) -> MethodStatistics {
        var handled: [StatusCode: UInt64] = [:]
        for code in StatusCode.allCases {
            handled[code] = counters.reduce(0) { $0 + $1.handledTotal(code) }
        }
        var handlingCounts = [UInt64](repeating: 0, count: CallCounters.handlingBounds.count + 1)
        var handlingSeconds = 0.0
        for handling in counters.map(\.handling) {
            for (bucket, count) in handling.counts.enumerated() { handlingCounts[bucket] += count }
            handlingSeconds += handling.seconds
        }
        func sum(_ value: (CallCounters.Method) -> UInt64) -> UInt64 { counters.reduce(0) { $0 + value($1) } }
        return MethodStatistics(
            service: service, method: method, type: type, started: sum(\.startedTotal), handled: handled,
            messagesReceived: sum(\.receivedTotal), messagesSent: sum(\.sentTotal), handlingCounts: handlingCounts,
            handlingSeconds: handlingSeconds)
    }
}
