/// Ids that the ledger makes: UUIDv7 (RFC 9562 section 5.7), so that they sort by time and fill the database's index from
/// one end.
enum JobID {
    static func make(at time: Timestamp, random: (UInt64, UInt64)) -> String {
        let milliseconds = UInt64(bitPattern: time.nanoseconds / 1_000_000)
        let high = (milliseconds << 16) | 0x7000 | (random.0 & 0x0FFF)
        let low = (random.1 & 0x3FFF_FFFF_FFFF_FFFF) | 0x8000_0000_0000_0000
        return String(unsafeUninitializedCapacity: 36) { text in
            var position = 0
            for nibble in 0..<32 {
                if nibble == 8 || nibble == 12 || nibble == 16 || nibble == 20 {
                    text[position] = UInt8(ascii: "-")
                    position += 1
                }
                let word = nibble < 16 ? high : low
                let digit = UInt8(truncatingIfNeeded: word >> UInt64(60 - 4 * (nibble & 15))) & 15
                text[position] = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10
                position += 1
            }
            return position
        }
    }

    static func make(at time: Timestamp) -> String {
        make(at: time, random: (.random(in: .min ... .max), .random(in: .min ... .max)))
    }
}
