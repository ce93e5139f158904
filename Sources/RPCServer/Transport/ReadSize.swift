import NIOCore

/// How much room the next read has: twice as much after one that filled it, half as much after two that would have fitted
/// into that. NIO's adaptive allocator does the same, but is too large to lie in the channel itself, and each read of a
/// connection that has slept had to fetch it from memory.
struct ReadSize: RecvByteBufferAllocator {
    /// A channel keeps the buffer of its last read, and an idle connection should not have much.
    static let least: UInt16 = 512
    /// Suffices for the rate.
    static let most: UInt16 = 16_384

    private var size: UInt16 = 1_024
    private var wasSmall = false

    func nextBufferSize() -> Int? { Int(size) }

    func buffer(allocator: ByteBufferAllocator) -> ByteBuffer { allocator.buffer(capacity: Int(size)) }

    mutating func record(actualReadBytes count: Int) -> Bool {
        let isSmall = count <= Int(size) / 2
        defer { wasSmall = isSmall && !wasSmall }
        if count >= Int(size), size < Self.most {
            size *= 2
            return true
        }
        if isSmall, wasSmall, size > Self.least { size /= 2 }
        return false
    }
}
