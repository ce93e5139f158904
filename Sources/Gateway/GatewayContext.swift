import Hummingbird
import Logging
import NIOCore

/// What a request carries along, besides itself.
struct GatewayContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    let channel: any Channel

    init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        channel = source.channel
    }

    /// Ends the connection a little later, so that a client that still sends gets to read its answer first (RFC 9112
    /// §9.6).
    func closeSoon() {
        channel.eventLoop.scheduleTask(in: .seconds(2)) { [channel] in channel.close(promise: nil) }
    }
}
