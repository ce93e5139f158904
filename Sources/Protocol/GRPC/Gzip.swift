import CZlib

/// The one message encoding besides identity (gRPC's compression document): gzip, by zlib.
public enum Gzip {
    public enum Failure: Error, Equatable {
        /// Not gzip, or cut short.
        case malformed
        /// Unpacked it has more bytes than allowed.
        case tooLarge
    }

    /// 15 bits of window, and 16 for gzip's header rather than zlib's (`deflateInit2` in zlib.h).
    private static let windowBits: Int32 = 15 + 16

    public static func compress(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        var stream = z_stream()
        let version = ZLIB_VERSION
        let size = Int32(MemoryLayout<z_stream>.size)
        guard
            deflateInit2_(
                &stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, windowBits, 8, Z_DEFAULT_STRATEGY, version, size) == Z_OK
        else {
            // There is no memory for 256 KiB: nothing else will work either.
            preconditionFailure("out of memory")
        }
        defer { deflateEnd(&stream) }
        let bound = Int(deflateBound(&stream, uLong(bytes.count)))
        return [UInt8](unsafeUninitializedCapacity: bound) { output, count in
            // zlib does not write through the pointer it reads from.
            stream.next_in = UnsafeMutablePointer(
                mutating: bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
            stream.avail_in = UInt32(bytes.count)
            stream.next_out = output.baseAddress
            stream.avail_out = UInt32(bound)
            deflate(&stream, Z_FINISH)
            count = bound - Int(stream.avail_out)
        }
    }

    /// - Parameter limit: of the unpacked bytes; memory never grows beyond it.
    public static func decompress(_ bytes: UnsafeRawBufferPointer, limit: Int) throws(Failure) -> [UInt8] {
        var stream = z_stream()
        guard inflateInit2_(&stream, windowBits, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            throw .malformed
        }
        defer { inflateEnd(&stream) }
        stream.next_in = UnsafeMutablePointer(mutating: bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
        stream.avail_in = UInt32(bytes.count)
        var output: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: min(max(bytes.count * 4, 256), 64 * 1024))
        while true {
            let (code, filled) = chunk.withUnsafeMutableBufferPointer { chunk in
                stream.next_out = chunk.baseAddress
                stream.avail_out = UInt32(chunk.count)
                let code = inflate(&stream, Z_NO_FLUSH)
                return (code, chunk.count - Int(stream.avail_out))
            }
            guard output.count + filled <= limit else { throw .tooLarge }
            output += chunk[..<filled]
            if code == Z_STREAM_END { break }
            guard code == Z_OK, filled > 0 || stream.avail_in > 0 else { throw .malformed }
        }
        guard stream.avail_in == 0 else { throw .malformed }
        return output
    }
}
