import Testing

@testable import Orchestrator

@Suite struct PageTokenTests {
    private let key = [UInt8](0..<16)
    private let filter = Array("filter".utf8)

    @Test func `a token gives back its number`() throws {
        for number: UInt64 in [1, 255, 1 << 40, UInt64(Int64.max)] {
            let text = PageToken(number: number).text(filter: filter, key: key)
            #expect(text.utf8.count == 23)
            #expect(try PageToken(text, filter: filter, key: key).number == number)
        }
    }

    @Test func `one that was changed anywhere is refused, and so is one of another filter or ledger`() {
        let text = PageToken(number: 12_345).text(filter: filter, key: key)
        for index in text.indices {
            var changed = text
            changed.replaceSubrange(index...index, with: text[index] == "A" ? "B" : "A")
            #expect(throws: OrchestratorError.self) { try PageToken(changed, filter: filter, key: key) }
        }
        for wrong in ["", "x", "12345", text + text, text + "=", String(text.dropLast()), "é" + text] {
            #expect(throws: OrchestratorError.self, "\(wrong)") { try PageToken(wrong, filter: filter, key: key) }
        }
        #expect(throws: OrchestratorError.self) { try PageToken(text, filter: Array("other".utf8), key: key) }
        #expect(throws: OrchestratorError.self) { try PageToken(text, filter: filter, key: [1]) }
    }

    /// The vectors of the authors' reference implementation: the key 00…0f, and the messages 00, 00 01, …
    @Test(
        arguments: [
            (0, 0x726f_db47_dd0e_0e31), (1, 0x74f8_39c5_93dc_67fd), (8, 0x93f5_f579_9a93_2462),
            (15, 0xa129_ca61_49be_45e5),
        ] as [(Int, UInt64)])
    func `the checksum is SipHash-2-4`(length: Int, expected: UInt64) {
        #expect(SipHash.hash((0..<length).map { UInt8($0) }, key: key) == expected)
    }
}
