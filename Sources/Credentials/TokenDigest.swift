import Crypto

/// SHA-256 of a token. The server keeps nothing else of it.
public struct TokenDigest: Sendable, Hashable, CustomStringConvertible {
    private let bytes: [UInt8]

    public init(of token: some Sequence<UInt8>) { bytes = Array(SHA256.hash(data: Array(token))) }

    /// 64 hexadecimal digits, as sha256sum(1) prints them.
    init?(hex: some StringProtocol) {
        guard hex.utf8.count == 64 else { return nil }
        var bytes: [UInt8] = []
        var rest = Substring(hex)
        while !rest.isEmpty {
            guard rest.prefix(2).allSatisfy({ $0.isASCII && $0.isHexDigit }),
                let byte = UInt8(rest.prefix(2), radix: 16)
            else { return nil }
            bytes.append(byte)
            rest = rest.dropFirst(2)
        }
        self.bytes = bytes
    }

    public var description: String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    static let ofNothing = TokenDigest(of: [])

    /// Takes the same time wherever the two differ, so that nobody can find a digest byte by byte.
    func matches(_ other: TokenDigest) -> Bool {
        zip(bytes, other.bytes).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }
}
