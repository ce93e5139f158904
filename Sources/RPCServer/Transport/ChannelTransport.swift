import NIOCore

/// A connection on a channel of NIO's: for what needs a pipeline, such as TLS.
final class ChannelTransport: ChannelDuplexHandler, ConnectionTransport {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let driver: ConnectionDriver
    private var context: ChannelHandlerContext?

    init(_ driver: ConnectionDriver) { self.driver = driver }

    // MARK: From the channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        driver.start(self, peer: Peer(context.channel))
    }

    func handlerRemoved(context: ChannelHandlerContext) { end() }

    func channelActive(context: ChannelHandlerContext) {
        driver.flush()
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        end()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        unwrapInboundIn(data).withUnsafeReadableBytes { driver.received($0) }
    }

    func channelReadComplete(context: ChannelHandlerContext) { driver.readComplete() }

    func read(context: ChannelHandlerContext) {
        if driver.takesInput() { context.read() }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { driver.outputMoves() }
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        driver.transportFailed(error)
        context.close(promise: nil)
    }

    private func end() {
        context = nil
        driver.ended()
    }

    // MARK: From the driver

    var isOpen: Bool { context?.channel.isActive ?? false }
    var takesOutput: Bool { context?.channel.isWritable ?? false }
    var pendingBytes: Int { (try? context?.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0 }

    func write(_ bytes: UnsafeRawBufferPointer) {
        context?.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: nil)
    }

    func whenWritten(_ body: @escaping () -> Void) {
        guard let context else { return }
        // Writes complete in order, so an empty one tells of all before it.
        context.writeAndFlush(wrapOutboundOut(ByteBuffer())).assumeIsolated().whenComplete { _ in body() }
    }

    func readOn() { context?.read() }
    func closeOutput() { context?.close(mode: .output, promise: nil) }
    func close() { context?.close(promise: nil) }
}
