import CProto

extension WireMessage {
    /// Reads a message. The arena is reset first: nothing unpacked before may still be in use.
    public init(decoding bytes: UnsafeRawBufferPointer, in arena: Arena) throws(WireError) {
        arena.reset()
        guard let wire = Self.unpack(bytes, in: arena) else {
            throw WireError(field: "", problem: "the bytes are not a valid \(Self.self) message")
        }
        try self.init(wire: wire)
    }

    public init(decoding bytes: [UInt8], in arena: Arena = Arena()) throws(WireError) {
        let result = bytes.withUnsafeBytes { bytes in
            Result { () throws(WireError) in try Self(decoding: bytes, in: arena) }
        }
        self = try result.get()
    }

    /// The packed message behind `prefix` bytes left for the caller to fill.
    public func encoded(after prefix: Int = 0, in arena: Arena = .ofThisThread) -> [UInt8] {
        arena.reset()
        // A thread that has packed a large message may rest for long.
        defer { arena.reset() }
        let message = wire(in: arena).assumingMemoryBound(to: ProtobufCMessage.self)
        let size = protobuf_c_message_get_packed_size(message)
        return [UInt8](unsafeUninitializedCapacity: prefix + size) { buffer, count in
            buffer[..<prefix].update(repeating: 0)
            if size > 0, let base = buffer.baseAddress { _ = protobuf_c_message_pack(message, base + prefix) }
            count = prefix + size
        }
    }
}

/// Checks what protobuf demands of a string, and what SQLite, C and file names demand of ours: UTF-8 and no NUL.
package func wireString(_ data: ProtobufCBinaryData, _ field: String) throws(WireError) -> String {
    guard data.len > 0, let start = data.data else { return "" }
    let bytes = UnsafeBufferPointer(start: start, count: data.len)
    // Ids, labels and words nearly always are. What validates any bytes is generic in how they come, and was half of the
    // time of reading a short request.
    if isPlainASCII(bytes) {
        return String(unsafeUninitializedCapacity: bytes.count) { $0.initialize(fromContentsOf: bytes) }
    }
    guard let string = String(validating: bytes, as: UTF8.self) else {
        throw WireError(field: field, problem: "the text is not valid UTF-8; send text as UTF-8")
    }
    guard !bytes.contains(0) else {
        throw WireError(field: field, problem: "the text contains a NUL character; remove it")
    }
    return string
}

/// Whether all bytes are ASCII and none is NUL.
private func isPlainASCII(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
    let raw = UnsafeRawBufferPointer(bytes)
    let highs: UInt64 = 0x8080_8080_8080_8080
    let ones: UInt64 = 0x0101_0101_0101_0101
    var place = 0
    while place + 8 <= raw.count {
        let word = raw.loadUnaligned(fromByteOffset: place, as: UInt64.self)
        // Less one, only a byte that is 0 gets its high bit, or one of a word that has none.
        if (word | (word &- ones)) & highs != 0 { return false }
        place += 8
    }
    while place < raw.count {
        if raw[place] == 0 || raw[place] >= 0x80 { return false }
        place += 1
    }
    return true
}

package func wireBytes(_ data: ProtobufCBinaryData) -> [UInt8] {
    guard data.len > 0, let start = data.data else { return [] }
    return [UInt8](UnsafeBufferPointer(start: start, count: data.len))
}

/// Reads a nested message, so that an error names the whole path.
package func nested<Value>(_ field: String, _ read: () throws(WireError) -> Value) throws(WireError) -> Value {
    do {
        return try read()
    } catch {
        throw WireError(field: error.field.isEmpty ? field : "\(field).\(error.field)", problem: error.problem)
    }
}

extension UnsafeRawBufferPointer {
    /// As protobuf-c takes them.
    package var bytes: UnsafePointer<UInt8>? { baseAddress?.assumingMemoryBound(to: UInt8.self) }
}
