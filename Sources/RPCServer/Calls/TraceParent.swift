/// The caller's place in a distributed trace (W3C Trace Context).
public enum TraceParent {
    /// The field in the form that is handed on: `00-TRACEID-PARENTID-FLAGS` in lower-case hex, 55 bytes. Of a later
    /// version the part that this one knows is taken (§3.2.3).
    /// - Returns: nil for anything else, which the standard has ignored: ids of zeros are invalid.
    public static func checked(_ text: String) -> String? {
        let bytes = Array(text.utf8.prefix(57))
        guard bytes.count >= 55, bytes[2] == dash, bytes[35] == dash, bytes[52] == dash,
            [0..<2, 3..<35, 36..<52, 53..<55].allSatisfy({ bytes[$0].allSatisfy(isHex) }),
            bytes[3..<35].contains(where: { $0 != zero }), bytes[36..<52].contains(where: { $0 != zero })
        else { return nil }
        switch (bytes[0], bytes[1]) {
        case (UInt8(ascii: "f"), UInt8(ascii: "f")): return nil
        case (zero, zero): guard bytes.count == 55 else { return nil }
        default: guard bytes.count == 55 || bytes[55] == dash else { return nil }
        }
        return "00" + String(decoding: bytes[2..<55], as: UTF8.self)
    }

    /// The trace's id, of a checked one.
    static func traceID(_ checked: String) -> Substring { checked.dropFirst(3).prefix(32) }

    private static let dash = UInt8(ascii: "-")
    private static let zero = UInt8(ascii: "0")

    private static func isHex(_ byte: UInt8) -> Bool {
        (byte >= 0x30 && byte <= 0x39) || (byte >= 0x61 && byte <= 0x66)
    }
}
