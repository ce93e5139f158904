import Protocol
import Testing

@Suite struct MessageCounterTests {
    @Test(arguments: 1...20) func `messages are counted wherever the bytes are cut`(step: Int) {
        let lengths = [0, 1, 300, 0, 0, 70_000, 5]
        let bytes = lengths.flatMap { length -> [UInt8] in
            [0] + (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * $0)) }
                + [UInt8](repeating: 7, count: length)
        }
        var counter = MessageCounter()
        var count = 0
        for start in stride(from: 0, to: bytes.count, by: step) {
            bytes[start..<min(start + step, bytes.count)].withUnsafeBytes { count += counter.count($0) }
        }
        #expect(count == lengths.count)
    }

    @Test func `the place where the last message ended is known`() {
        var counter = MessageCounter()
        let bytes: [UInt8] = [0, 0, 0, 0, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0]
        #expect(bytes.prefix(6).withUnsafeBytes { counter.count($0) } == 0 && counter.lastEnd == 0)
        #expect(bytes.suffix(8).withUnsafeBytes { counter.count($0) } == 2 && counter.lastEnd == 6)
        #expect([UInt8]([0, 0]).withUnsafeBytes { counter.count($0) } == 0 && counter.lastEnd == 0)
    }

    @Test func `a message counts once its last byte is there`() {
        var counter = MessageCounter()
        let bytes: [UInt8] = [0, 0, 0, 0, 2, 1, 1]
        #expect(bytes.prefix(6).withUnsafeBytes { counter.count($0) } == 0)
        #expect(bytes.suffix(1).withUnsafeBytes { counter.count($0) } == 1)
    }
}
