import Protocol
import Testing

struct FramingTests {
    @Test func `a framed message is its prefix, its length, and itself`() {
        let message = Wire.GetStatusRequest(jobID: "a")
        #expect(message.encoded() == [0x0A, 1, 0x61])
        #expect(message.framed() == [0, 0, 0, 0, 3, 0x0A, 1, 0x61])
        #expect(Wire.GetStatusRequest().framed() == [0, 0, 0, 0, 0])
    }

    @Test func `a large message has its length in big endian`() {
        let framed = Wire.LogChunk(data: Array(repeating: 1, count: 70_000)).framed()
        let length = framed.count - 5
        #expect(Array(framed[..<5]) == [0, 0, UInt8(length >> 16), UInt8(length >> 8 & 0xFF), UInt8(length & 0xFF)])
    }
}
