import Foundation

/// Where a page of a list ended: the number of its last job, and a checksum keyed by the ledger over it and the filter.
/// It stays good over restarts; one that was changed, belongs to another filter, or comes from another ledger is refused
/// rather than answered with a wrong page.
struct PageToken: Equatable {
    private static let version: UInt8 = 1

    var number: UInt64

    init(number: UInt64) { self.number = number }

    /// - Throws: `invalidArgument`.
    init(_ text: String, filter: [UInt8], key: [UInt8]) throws(OrchestratorError) {
        let padded =
            text.replacing("-", with: "+").replacing("_", with: "/")
            + String(repeating: "=", count: (4 - text.utf8.count % 4) % 4)
        guard text.utf8.count < 64, let data = Data(base64Encoded: padded), data.count == 17 else {
            throw .invalidArgument(
                "page_token",
                "page_token \(text.prefix(64).debugDescription) is not one of this server's; pass next_page_token unchanged"
            )
        }
        number = data.dropFirst().prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
        // As text: base64 has bits to spare at its end, and whoever changed them changed the token.
        guard text == self.text(filter: filter, key: key), number > 0 else {
            throw .invalidArgument(
                "page_token",
                "page_token \(text.debugDescription) is of another list; pass next_page_token unchanged and with the same "
                    + "filters, or leave it out to start again")
        }
    }

    func text(filter: [UInt8], key: [UInt8]) -> String {
        Data(Self.bytes(number, filter: filter, key: key)).base64EncodedString()
            .replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }

    private static func bytes(_ number: UInt64, filter: [UInt8], key: [UInt8]) -> [UInt8] {
        let head = [version] + bigEndian(number)
        return head + bigEndian(SipHash.hash(head + filter, key: key))
    }

    private static func bigEndian(_ word: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: word >> (56 - 8 * UInt64($0))) }
    }
}
