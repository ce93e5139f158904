import Glibc
import Protocol

/// Finds a method by the bytes of its path, without making a string of them.
struct Router: Sendable {
    let methods: [RPCMethod]
    /// The methods' immediate and promising handlers, apart: taking one out of `methods` copies its whole enum, call by call.
    let immediates: [ImmediateHandler?]
    let promisings: [PromisingHandler?]
    private let paths: [[UInt8]]
    /// Open addressing over a power of two at least twice the methods; -1 is free.
    private let table: [Int16]

    init(_ methods: [RPCMethod]) {
        self.methods = methods
        immediates = methods.map { method in
            if case .unary(let immediate, _) = method.handler { immediate } else { nil }
        }
        promisings = methods.map { if case .promised(let handler) = $0.handler { handler } else { nil } }
        paths = methods.map { Array($0.path.utf8) }
        var size = 16
        while size < methods.count * 2 { size *= 2 }
        var table = [Int16](repeating: -1, count: size)
        for (index, path) in paths.enumerated() {
            var slot = path.withUnsafeBytes(Self.hash) & (size - 1)
            while table[slot] >= 0 { slot = (slot + 1) & (size - 1) }
            table[slot] = Int16(index)
        }
        self.table = table
    }

    /// The index in `methods`.
    func find(_ path: UnsafeRawBufferPointer) -> Int? {
        var slot = Self.hash(path) & (table.count - 1)
        while table[slot] >= 0 {
            let index = Int(table[slot])
            if Self.isEqual(paths[index], path) {
                return index
            }
            slot = (slot + 1) & (table.count - 1)
        }
        return nil
    }

    private static func isEqual(_ known: [UInt8], _ path: UnsafeRawBufferPointer) -> Bool {
        guard known.count == path.count, let start = path.baseAddress else { return false }
        return known.withUnsafeBytes { memcmp($0.baseAddress!, start, path.count) == 0 }
    }

    /// Services share long prefixes, so the end of the path and its length tell methods apart.
    private static func hash(_ path: UnsafeRawBufferPointer) -> Int {
        var value = UInt64(path.count)
        if path.count >= 8 {
            value ^= path.loadUnaligned(fromByteOffset: path.count - 8, as: UInt64.self)
        }
        value = value &* 0x9E37_79B9_7F4A_7C15
        return Int(truncatingIfNeeded: value >> 40)
    }

    func unknownMethod(_ path: UnsafeRawBufferPointer) -> Status {
        let name = String(decoding: path.prefix(200), as: UTF8.self)
        return Status(
            .unimplemented, "unknown method \(name); ask the server's reflection or its .proto for the methods"
        ).because("METHOD_UNKNOWN")
    }
}
