/// SipHash-2-4 (Aumasson and Bernstein, 2012): a short keyed checksum that can't be made without the key.
struct SipHash {
    private var v0: UInt64, v1: UInt64, v2: UInt64, v3: UInt64

    /// - Parameter key: 16 bytes; shorter ones are filled up with zeros.
    static func hash(_ bytes: [UInt8], key: [UInt8]) -> UInt64 {
        var state = SipHash(word(key, at: 0), word(key, at: 8))
        for at in stride(from: 0, to: bytes.count - bytes.count % 8, by: 8) { state.take(word(bytes, at: at)) }
        state.take(word(bytes, at: bytes.count - bytes.count % 8) | UInt64(bytes.count & 0xff) << 56)
        state.v2 ^= 0xff
        for _ in 0..<4 { state.round() }
        return state.v0 ^ state.v1 ^ state.v2 ^ state.v3
    }

    private init(_ k0: UInt64, _ k1: UInt64) {
        v0 = k0 ^ 0x736f_6d65_7073_6575
        v1 = k1 ^ 0x646f_7261_6e64_6f6d
        v2 = k0 ^ 0x6c79_6765_6e65_7261
        v3 = k1 ^ 0x7465_6462_7974_6573
    }

    /// Little-endian; what lies behind the end is 0.
    private static func word(_ bytes: [UInt8], at start: Int) -> UInt64 {
        var word: UInt64 = 0
        for index in 0..<max(0, min(8, bytes.count - start)) { word |= UInt64(bytes[start + index]) << (8 * index) }
        return word
    }

    private mutating func take(_ word: UInt64) {
        v3 ^= word
        round()
        round()
        v0 ^= word
    }

    private mutating func round() {
        v0 &+= v1
        v1 = Self.rotated(v1, 13) ^ v0
        v0 = Self.rotated(v0, 32)
        v2 &+= v3
        v3 = Self.rotated(v3, 16) ^ v2
        v0 &+= v3
        v3 = Self.rotated(v3, 21) ^ v0
        v2 &+= v1
        v1 = Self.rotated(v1, 17) ^ v2
        v2 = Self.rotated(v2, 32)
    }

    private static func rotated(_ word: UInt64, _ bits: UInt64) -> UInt64 { word << bits | word >> (64 - bits) }
}
