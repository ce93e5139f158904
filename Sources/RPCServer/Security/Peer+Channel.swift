import Credentials
import NIOCore
import NIOSSL

extension Peer {
    /// On the channel's event loop, once TLS, if there is any, stands.
    init(_ channel: any Channel) {
        let certificate = try? channel.pipeline.syncOperations.nioSSL_peerCertificate()
        self.init(
            address: channel.remoteAddress?.description ?? "", host: Self.host(channel),
            certificateSubject: certificate.flatMap { $0 }?.subject)
    }

    static func host(_ channel: any Channel) -> String { channel.remoteAddress?.ipAddress ?? "" }
}
