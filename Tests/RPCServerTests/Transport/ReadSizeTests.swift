import NIOCore
import Testing

@testable import RPCServer

struct ReadSizeTests {
    /// The room for each read, given what the reads before it brought.
    private static func sizes(_ reads: [Int]) -> [Int?] {
        var size = ReadSize()
        return reads.map { read in
            _ = size.record(actualReadBytes: read)
            return size.nextBufferSize()
        }
    }

    @Test func `a read that fills its room doubles the next one's, up to a limit`() {
        #expect(Self.sizes([1_024, 2_048, 4_096, 8_192, 16_384]) == [2_048, 4_096, 8_192, 16_384, 16_384])
    }

    @Test func `two small reads in a row halve it, down to a limit`() {
        #expect(Self.sizes([10, 10, 10, 10, 10]) == [1_024, 512, 512, 512, 512])
        #expect(Self.sizes([2, 600, 2, 600]) == [1_024, 1_024, 1_024, 1_024])
    }

    @Test func `a buffer has the room that was announced, and it grew when that was told`() {
        var size = ReadSize()
        #expect(size.buffer(allocator: ByteBufferAllocator()).capacity == size.nextBufferSize())
        let told = [1_023, 1_024].map { size.record(actualReadBytes: $0) }
        #expect(told == [false, true])
    }

    @Test func `it lies in the channel itself, not in memory of its own`() {
        #expect(MemoryLayout<ReadSize>.size <= 3 * MemoryLayout<Int>.size)
    }
}
