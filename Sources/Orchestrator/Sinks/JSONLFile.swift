import Foundation

/// A file of JSON lines that is only ever appended to, by one writer. It holds whole lines: what a crash or a full disk
/// cut short is put right, when the file is opened or before the next line is written.
struct JSONLFile: ~Copyable {
    let path: String
    private let descriptor: Int32
    private var device: UInt64 = 0
    private var inode: UInt64 = 0
    /// A write was cut short and could not be taken back.
    private var isTorn = false

    /// Opens the file, and makes it and its directory if need be.
    ///
    /// - Throws: `OrchestratorError` of kind `unavailable` that names the path.
    static func open(path: String) throws(OrchestratorError) -> JSONLFile {
        do {
            try FileManager.default.createDirectory(
                atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        } catch {
            throw OrchestratorError(.unavailable, "can't make the directory of \(path): \(error.localizedDescription)")
        }
        let descriptor = Foundation.open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else { throw failure("open", path, errno) }
        var file = JSONLFile(path: path, descriptor: descriptor)
        let status = try file.status()
        file.device = UInt64(status.st_dev)
        file.inode = UInt64(status.st_ino)
        // A new name lasts through a power cut only with its directory.
        if status.st_size == 0 { try synchronizeDirectory(of: path) }
        try file.repairEnd()
        return file
    }

    private init(path: String, descriptor: Int32) {
        self.path = path
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Whether the path still leads to this file; not after a log rotation moved it away.
    var isInPlace: Bool {
        var status = stat()
        return stat(path, &status) == 0 && UInt64(status.st_dev) == device && UInt64(status.st_ino) == inode
    }

    /// Appends whole lines: all of them, or none when it throws.
    mutating func append(_ lines: [UInt8]) throws(OrchestratorError) {
        if isTorn { try repairEnd() }
        let start = try size()
        var written = 0
        while written < lines.count {
            let count = lines.withUnsafeBytes { bytes in
                write(descriptor, bytes.baseAddress?.advanced(by: written), lines.count - written)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                let code = errno
                // The next attempt writes the lines anew. Somebody else's lines after ours stay.
                if written > 0 {
                    isTorn = (try? size()) != start + Int64(written) || ftruncate(descriptor, off_t(start)) != 0
                }
                throw Self.failure("write", path, code)
            }
            written += count
        }
    }

    func synchronize() throws(OrchestratorError) {
        guard fdatasync(descriptor) == 0 else { throw Self.failure("sync", path, errno) }
    }

    /// The last whole line, without its newline; nil when there is none, or none within the last MiB.
    func lastLine() throws(OrchestratorError) -> [UInt8]? {
        let end = try size()
        guard end > 0 else { return nil }
        let tail = try tail(of: end)
        let text = tail.dropLast()
        guard let start = text.lastIndex(of: UInt8(ascii: "\n")) else {
            return Int64(tail.count) == end ? Array(text) : nil
        }
        return Array(text[(start + 1)...])
    }

    /// The first line, without its newline; nil when there is none, or none within 64 KiB.
    func firstLine() throws(OrchestratorError) -> [UInt8]? {
        let head = try read(from: 0, count: Int(min(try size(), 1 << 16)))
        return head.firstIndex(of: UInt8(ascii: "\n")).map { Array(head[..<$0]) }
    }

    /// A last line without a newline is a write that a crash cut short: it is ended if it is whole, and else cut off, for
    /// the ledger still has its event.
    private mutating func repairEnd() throws(OrchestratorError) {
        isTorn = false
        let end = try size()
        guard end > 0 else { return }
        let tail = try tail(of: end)
        guard tail.last != UInt8(ascii: "\n") else { return }
        let start = tail.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
        // A line longer than what was read is not ours.
        let isForeign = start == 0 && Int64(tail.count) < end
        if isForeign || (try? JSONSerialization.jsonObject(with: Data(tail[start...]))) != nil {
            try append([UInt8(ascii: "\n")])
        } else {
            guard ftruncate(descriptor, off_t(end - Int64(tail.count - start))) == 0 else {
                isTorn = true
                throw Self.failure("cut the torn last line of", path, errno)
            }
        }
    }

    private static let tailLimit: Int64 = 1 << 20

    /// The file's last bytes, up to a MiB: more than any event.
    private func tail(of end: Int64) throws(OrchestratorError) -> [UInt8] {
        let start = max(0, end - Self.tailLimit)
        return try self.read(from: start, count: Int(end - start))
    }

    private func read(from start: Int64, count: Int) throws(OrchestratorError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var read = 0
        while read < bytes.count {
            let count = bytes.withUnsafeMutableBytes { buffer in
                pread(
                    descriptor, buffer.baseAddress?.advanced(by: read), buffer.count - read, off_t(start + Int64(read)))
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw Self.failure("read", path, count == 0 ? EIO : errno) }
            read += count
        }
        return bytes
    }

    /// Bytes.
    func size() throws(OrchestratorError) -> Int64 { Int64(try status().st_size) }

    private func status() throws(OrchestratorError) -> stat {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Self.failure("look at", path, errno) }
        return status
    }

    private static func synchronizeDirectory(of path: String) throws(OrchestratorError) {
        let directory = (path as NSString).deletingLastPathComponent
        let descriptor = Foundation.open(directory.isEmpty ? "." : directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("open", directory, errno) }
        defer { close(descriptor) }
        // EINVAL: a file system that keeps no such promise.
        guard fsync(descriptor) == 0 || errno == EINVAL else { throw failure("sync", directory, errno) }
    }

    private static func failure(_ what: String, _ path: String, _ code: Int32) -> OrchestratorError {
        OrchestratorError(.unavailable, "can't \(what) \(path): \(String(cString: strerror(code)))")
    }
}
