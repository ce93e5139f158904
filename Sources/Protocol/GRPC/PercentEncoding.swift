/// `grpc-message` is percent-encoded UTF-8: bytes 0x20 to 0x7E but `%` stand for themselves (PROTOCOL-HTTP2, Responses).
public enum PercentEncoding {
    /// - Parameter limit: of the output, in bytes; what goes beyond is cut between characters of Unicode.
    public static func encode(_ message: String, atMost limit: Int = .max) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(min(message.utf8.count, limit))
        for scalar in message.unicodeScalars {
            let start = output.count
            append(scalar, to: &output)
            if output.count > limit {
                output.removeSubrange(start...)
                break
            }
        }
        return output
    }

    private static func append(_ scalar: Unicode.Scalar, to output: inout [UInt8]) {
        for byte in scalar.utf8 {
            if byte >= 0x20, byte <= 0x7E, byte != UInt8(ascii: "%") {
                output.append(byte)
            } else {
                output.append(UInt8(ascii: "%"))
                output.append(hexDigit(byte >> 4))
                output.append(hexDigit(byte & 0xF))
            }
        }
    }

    private static func hexDigit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "A") + value - 10
    }
}
