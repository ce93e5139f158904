import NIOCore
import NIOSSL

/// The files that TLS is made of, all PEM.
public struct TLSFiles: Sendable, Equatable {
    /// The server's certificate, and the intermediate ones after it.
    public var certificate: CredentialFile
    public var key: CredentialFile
    /// Who signs the clients' certificates; nil asks clients for none.
    public var clientCA: CredentialFile?

    public init(certificate: CredentialFile, key: CredentialFile, clientCA: CredentialFile? = nil) {
        self.certificate = certificate
        self.key = key
        self.clientCA = clientCA
    }

    public var all: [CredentialFile] { [certificate, key] + (clientCA.map { [$0] } ?? []) }
}

/// What new connections are encrypted with: TLS 1.2 and later.
public struct TLSContexts: Sendable {
    /// Offers `h2` alone (RFC 7301), and with a client CA takes only clients whose certificate it signed.
    public let rpc: NIOSSLContext
    /// Offers `http/1.1`. A client without a certificate is let in, for probes have none; one it shows must be good.
    public let http: NIOSSLContext
    /// When the server's certificate ends, in seconds since 1970.
    public let expiresAt: Int

    /// - Throws: the setting and the file that can't be used, and why.
    public init(_ files: TLSFiles) throws(CredentialsError) {
        let chain = try Self.certificates(files.certificate)
        let keyBytes = try files.key.read()
        let key: NIOSSLPrivateKey
        do {
            key = try NIOSSLPrivateKey(bytes: keyBytes, format: .pem)
        } catch {
            throw files.key.error(
                "holds no private key in PEM without a passphrase: it must have a line -----BEGIN PRIVATE KEY-----")
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        configuration.minimumTLSVersion = .tlsv12
        // How long the peer may take to say goodbye too.
        configuration.shutdownTimeout = .seconds(1)
        configuration.applicationProtocols = ["h2"]
        var http = configuration
        http.applicationProtocols = ["http/1.1"]
        if let clientCA = files.clientCA {
            let roots = NIOSSLTrustRoots.certificates(try Self.certificates(clientCA))
            configuration.trustRoots = roots
            http.trustRoots = roots
            configuration.certificateVerification = .noHostnameVerification
            http.certificateVerification = .optionalVerification
        }
        do {
            rpc = try NIOSSLContext(configuration: configuration)
            self.http = try NIOSSLContext(configuration: http)
        } catch {
            throw files.key.error(
                "and \(files.certificate.setting) \(files.certificate.path) don't go together: name the key that "
                    + "belongs to the first certificate in the file")
        }
        expiresAt = chain.first.map { Int($0.notValidAfter) } ?? 0
    }

    private static func certificates(_ file: CredentialFile) throws(CredentialsError) -> [NIOSSLCertificate] {
        let bytes = try file.read()
        guard let found = try? NIOSSLCertificate.fromPEMBytes(bytes), !found.isEmpty else {
            throw file.error("holds no certificate in PEM: it must have a line -----BEGIN CERTIFICATE-----")
        }
        return found
    }
}

extension NIOSSLCertificate {
    /// Who a client's certificate stands for: the first URI of its alternative names (SPIFFE's place), else its common
    /// name; nil when it has neither, or several common names.
    public var subject: String? {
        for name in _subjectAlternativeNames() where name.nameType == .uri {
            return name.contents.withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) }
        }
        let names = subjectName.filter { $0.type == .commonName }
        return names.count == 1 ? names[0].value : nil
    }
}
