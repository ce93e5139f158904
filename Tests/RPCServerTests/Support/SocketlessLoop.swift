import Logging
import NIOCore
import NIOPosix

@testable import RPCServer

/// An event loop whose connections have no sockets: what a peer sends is handed in.
struct SocketlessLoop {
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let context: NIOLoopBound<LoopContext>
    private let router: Router

    init(_ methods: [RPCMethod]) async throws {
        router = Router(methods)
        let eventLoop = group.next()
        context = try await eventLoop.submit {
            let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
            let context = LoopContext(
                eventLoop: eventLoop, calls: CallCounters(methods: methods.count), logger: logger)
            return NIOLoopBound(context, eventLoop: eventLoop)
        }.get()
    }

    /// One connection from its beginning to its end.
    /// - Returns: calls that are left open after it, which should be none.
    func serve(_ parts: [[UInt8]], drains: Bool) async throws -> Int {
        let eventLoop = group.next()
        let connection = try await eventLoop.submit { [context, router] in
            let connection = try GRPCConnection(loop: context.value, router: router, limits: .defaults)
            return NIOLoopBound(connection, eventLoop: eventLoop)
        }.get()
        // Between the parts the loop runs the handlers that have been started.
        for part in parts {
            let goesOn = try await eventLoop.submit { Self.feed(connection.value, part) }.get()
            if !goesOn { break }
        }
        return try await eventLoop.submit {
            if drains { connection.value.beginDraining(endsPulls: true) }
            connection.value.resumeStreams()
            _ = Self.feed(connection.value, [])
            connection.value.closed()
            return connection.value.openCalls
        }.get()
    }

    func end() async throws { try await group.shutdownGracefully() }

    /// Whether the connection takes more.
    private static func feed(_ connection: GRPCConnection, _ bytes: [UInt8]) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 1000)
        do {
            try bytes.withUnsafeBytes { try connection.received($0) }
            while try buffer.withUnsafeMutableBytes({ try connection.drain(into: $0) }) > 0 {}
            return !connection.isFinished
        } catch {
            return false
        }
    }
}
