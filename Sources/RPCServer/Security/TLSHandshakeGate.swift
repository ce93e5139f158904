import Logging
import NIOCore
import NIOSSL
import NIOTLS

/// Keeps gRPC out until TLS stands and both sides have agreed on HTTP/2 (RFC 9113 §3.2). Stands behind the TLS handler,
/// and puts the next one in its own place.
final class TLSHandshakeGate: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private let logger: Logger
    private let next: () throws -> any ChannelHandler
    private var timeout: Scheduled<Void>?

    /// For the whole handshake; a peer that is slower holds a socket for nothing.
    private static let patience = TimeAmount.seconds(10)

    init(logger: Logger, next: @escaping () throws -> any ChannelHandler) {
        self.logger = logger
        self.next = next
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let context = NIOLoopBound(context, eventLoop: context.eventLoop)
        timeout = context.eventLoop.scheduleTask(in: Self.patience) { context.value.close(promise: nil) }
    }

    func handlerRemoved(context: ChannelHandlerContext) { timeout?.cancel() }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .handshakeCompleted(let negotiated) = event as? TLSUserEvent else {
            return context.fireUserInboundEventTriggered(event)
        }
        guard negotiated == "h2" else {
            return refuse(context, "the client did not agree on HTTP/2 (ALPN h2)")
        }
        do {
            let pipeline = context.pipeline.syncOperations
            try pipeline.addHandler(try next(), position: .after(self))
            pipeline.removeHandler(self, promise: nil)
        } catch {
            refuse(context, "\(error)")
        }
    }

    /// No certificate, a wrong one, no TLS at all: the handshake's end.
    func errorCaught(context: ChannelHandlerContext, error: any Error) { refuse(context, "\(error)") }

    private func refuse(_ context: ChannelHandlerContext, _ reason: String) {
        logger.debug(
            "TLS connection refused",
            metadata: ["peer": "\(context.remoteAddress?.description ?? "")", "reason": "\(reason)"])
        context.close(promise: nil)
    }
}
