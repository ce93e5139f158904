import CProto

/// The memory of one message on its way in or out. One arena serves one thread, message after message.
public final class Arena {
    /// 64 MiB: a message of the default limit of 4 MiB made of two-byte fields only takes less.
    public static let defaultLimit = 64 * 1024 * 1024

    private let arena: OpaquePointer
    private let isOwn: Bool

    /// - Parameter limit: the most bytes one message may take once unpacked.
    public init(limit: Int = Arena.defaultLimit) {
        guard let arena = cproto_arena_create(limit) else {
            // 16 KiB could not be had: nothing else will work either.
            preconditionFailure("out of memory")
        }
        self.arena = arena
        isOwn = true
    }

    /// The thread's own, for a message that is packed at once: making an arena costs more than packing most messages. Not to
    /// be kept.
    public static var ofThisThread: Arena {
        guard let arena = cproto_arena_of_thread() else { preconditionFailure("out of memory") }
        return Arena(shared: arena)
    }

    private init(shared arena: OpaquePointer) {
        self.arena = arena
        isOwn = false
    }

    deinit { if isOwn { cproto_arena_destroy(arena) } }

    public func reset() { cproto_arena_reset(arena) }

    package var allocator: UnsafeMutablePointer<ProtobufCAllocator> { cproto_arena_allocator(arena) }

    // Writing: what the server itself says is bounded long before the arena's limit, so running into it is a bug or the
    // end of memory.
    private func allocate(_ size: Int) -> UnsafeMutableRawPointer {
        guard let pointer = cproto_arena_alloc(arena, size) else {
            preconditionFailure("the arena's limit was reached")
        }
        return pointer
    }

    package func message<Message>(_ type: Message.Type) -> UnsafeMutablePointer<Message> {
        allocate(MemoryLayout<Message>.size).bindMemory(to: type, capacity: 1)
    }

    package func binary(_ string: String) -> ProtobufCBinaryData {
        var string = string
        return string.withUTF8 { binary(UnsafeRawBufferPointer($0)) }
    }

    package func binary(_ bytes: [UInt8]) -> ProtobufCBinaryData { bytes.withUnsafeBytes { binary($0) } }

    private func binary(_ bytes: UnsafeRawBufferPointer) -> ProtobufCBinaryData {
        guard let source = bytes.baseAddress, bytes.count > 0 else { return ProtobufCBinaryData(len: 0, data: nil) }
        let copy = allocate(bytes.count)
        copy.copyMemory(from: source, byteCount: bytes.count)
        return ProtobufCBinaryData(len: bytes.count, data: copy.assumingMemoryBound(to: UInt8.self))
    }

    /// A C array of as many elements as the collection has; nil when it is empty.
    package func array<Values: Collection, Element>(
        _ values: Values, _ element: (Values.Element) -> Element
    ) -> UnsafeMutablePointer<Element>? {
        guard !values.isEmpty else { return nil }
        let size = values.count * MemoryLayout<Element>.stride
        let array = allocate(size).bindMemory(to: Element.self, capacity: values.count)
        for (index, value) in values.enumerated() { (array + index).initialize(to: element(value)) }
        return array
    }
}
