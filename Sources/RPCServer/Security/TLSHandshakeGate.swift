import Logging
import NIOCore
import NIOSSL
import NIOTLS

/// Keeps gRPC out until TLS stands and both sides have agreed on HTTP/2 (RFC 9113 §3.2). Stands behind the TLS handler,
/// and puts the next one in its own place.
final class TLSHandshakeGate: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private let logger: Logger
    private let report: (ConnectionEnd, Peer) -> Void
    private let next: () throws -> any ChannelHandler
    private var timeout: Scheduled<Void>?
    private var isRefused = false

    /// For the whole handshake; a peer that is slower holds a socket for nothing.
    private static let patience = TimeAmount.seconds(10)

    /// - Parameters:
    ///   - report: told once why a handshake was refused.
    ///   - next: made once TLS stands.
    init(
        logger: Logger, report: @escaping (ConnectionEnd, Peer) -> Void,
        next: @escaping () throws -> any ChannelHandler
    ) {
        self.logger = logger
        self.report = report
        self.next = next
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let here = NIOLoopBound((gate: self, context: context), eventLoop: context.eventLoop)
        timeout = context.eventLoop.scheduleTask(in: Self.patience) {
            here.value.gate.refuse(here.value.context, .tlsTimeout, "the handshake took more than \(Self.patience)")
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) { timeout?.cancel() }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .handshakeCompleted(let negotiated) = event as? TLSUserEvent else {
            return context.fireUserInboundEventTriggered(event)
        }
        guard negotiated == "h2" else {
            return refuse(context, .tlsNoHTTP2, "the client did not agree on HTTP/2 (ALPN h2)")
        }
        do {
            let pipeline = context.pipeline.syncOperations
            try pipeline.addHandler(try next(), position: .after(self))
            pipeline.removeHandler(self, promise: nil)
        } catch {
            refuse(context, nil, "\(error)")
        }
    }

    /// No certificate, a wrong one, no TLS at all: the handshake's end.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        refuse(context, Self.end(of: error), "\(error)")
    }

    /// nil for a peer that only hung up, as a probe of the port does: nothing was refused.
    static func end(of error: any Error) -> ConnectionEnd? {
        guard let error = error as? NIOSSLError, case .handshakeFailed(.sslError(_)) = error else { return nil }
        // BoringSSL's names stand in the text, and nowhere else.
        let text = "\(error)"
        func names(_ words: String...) -> Bool { words.contains { text.contains($0) } }
        if names("EOF during handshake") { return nil }
        // A client's alert about the server's certificate has the word too.
        if names("_ALERT_") { return .tlsFailed }
        if names("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST") { return .tlsNotTLS }
        return names("CERTIFICATE") ? .tlsCertificate : .tlsFailed
    }

    private func refuse(_ context: ChannelHandlerContext, _ end: ConnectionEnd?, _ reason: String) {
        guard !isRefused else { return }
        isRefused = true
        if let end { report(end, Peer(context.channel)) }
        logger.debug(
            "TLS connection refused",
            metadata: ["peer": "\(context.channel.remoteAddress?.description ?? "")", "reason": "\(reason)"])
        context.close(promise: nil)
    }
}
