import CNghttp2
import Protocol

/// A status as it stands in trailers: the message percent-encoded, the details in base64.
struct EncodedStatus {
    /// Of the encoded message, in bytes; longer ones are cut: a client's limit for all its headers is often 8 KiB.
    static let longestMessage = 4096
    /// Of the encoded details; longer ones are left out, for a part of them can't be read.
    static let longestDetails = 3072

    let code: UInt32
    private let message: [UInt8]
    private let details: [UInt8]

    init(_ status: Status) {
        code = UInt32(status.code.rawValue)
        message = status.message.isEmpty ? [] : PercentEncoding.encode(status.message, atMost: Self.longestMessage)
        let details = status.details.isEmpty ? [] : Base64.encode(status.details)
        self.details = details.count <= Self.longestDetails ? details : []
    }

    func withBytes(_ body: (_ message: cng_bytes, _ details: cng_bytes) -> Void) {
        message.withUnsafeBufferPointer { message in
            details.withUnsafeBufferPointer { details in
                body(
                    cng_bytes(start: message.baseAddress, length: message.count),
                    cng_bytes(start: details.baseAddress, length: details.count))
            }
        }
    }
}
