/// The frames about the connection itself that the transport sends on its own account, between libnghttp2's
/// (RFC 9113 §6.7, §6.8).
enum ControlFrame {
    private static let pingType: UInt8 = 6
    private static let goAwayType: UInt8 = 7
    static let enhanceYourCalm: UInt32 = 0xB

    static func ping(_ opaque: UInt64) -> [UInt8] { header(pingType, length: 8) + bytes(opaque) }

    /// - Parameter reason: for the peer's log; gRPC clients know `too_many_pings` and ping less (gRFC A8).
    static func goAway(lastStream: UInt32, code: UInt32, reason: String) -> [UInt8] {
        header(goAwayType, length: 8 + reason.utf8.count) + bytes(lastStream) + bytes(code) + Array(reason.utf8)
    }

    private static func header(_ type: UInt8, length: Int) -> [UInt8] {
        [UInt8(length >> 16 & 0xFF), UInt8(length >> 8 & 0xFF), UInt8(length & 0xFF), type, 0, 0, 0, 0, 0]
    }

    private static func bytes(_ number: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: number.bigEndian) { Array($0) }
    }
}
