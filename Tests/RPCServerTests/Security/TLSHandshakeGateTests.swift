import Logging
import NIOCore
import NIOEmbedded
import NIOTLS
import Testing

@testable import RPCServer

@Suite struct TLSHandshakeGateTests {
    private final class Next: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
    }

    private final class Ends {
        var all: [ConnectionEnd] = []
    }

    /// What was told of refusals.
    private let ends = Ends()

    /// A connection that waits for its handshake.
    private func waiting() throws -> EmbeddedChannel {
        let gate = TLSHandshakeGate(
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }),
            report: { [ends] end, _ in ends.all.append(end) }, next: { Next() })
        let channel = EmbeddedChannel(handler: gate)
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        return channel
    }

    private func has<Handler: ChannelHandler>(_ channel: EmbeddedChannel, _ type: Handler.Type) -> Bool {
        (try? channel.pipeline.syncOperations.handler(type: type)) != nil
    }

    @Test func `gRPC takes the gate's place once h2 is agreed on, and is not timed out`() throws {
        let channel = try waiting()
        #expect(!has(channel, Next.self))
        channel.pipeline.fireUserInboundEventTriggered(TLSUserEvent.handshakeCompleted(negotiatedProtocol: "h2"))
        channel.embeddedEventLoop.run()
        #expect(has(channel, Next.self) && !has(channel, TLSHandshakeGate.self))
        channel.embeddedEventLoop.advanceTime(by: .seconds(60))
        #expect(channel.isActive)
        #expect(ends.all == [])
        _ = try channel.finish()
    }

    @Test(arguments: [nil, "http/1.1"]) func `who does not agree on h2 is hung up on`(negotiated: String?) throws {
        let channel = try waiting()
        channel.pipeline.fireUserInboundEventTriggered(
            TLSUserEvent.handshakeCompleted(negotiatedProtocol: negotiated))
        channel.embeddedEventLoop.run()
        #expect(!channel.isActive && !has(channel, Next.self))
        #expect(ends.all == [.tlsNoHTTP2])
    }

    @Test func `a handshake that fails or takes too long ends the connection`() throws {
        let failing = try waiting()
        failing.pipeline.fireErrorCaught(ChannelError.inputClosed)
        failing.embeddedEventLoop.run()
        #expect(!failing.isActive)

        let slow = try waiting()
        slow.embeddedEventLoop.advanceTime(by: .seconds(9))
        #expect(slow.isActive)
        slow.embeddedEventLoop.advanceTime(by: .seconds(1))
        #expect(!slow.isActive)
        // The first only hung up: a probe of the port is no attack.
        #expect(ends.all == [.tlsTimeout])
    }
}
