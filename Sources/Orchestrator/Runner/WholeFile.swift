import CLinux
import Glibc

/// Whole files, read and written by the system's calls. Nothing here follows a symbolic link in the last part of a path
/// or waits on a FIFO: most of these names were chosen by somebody else.
enum WholeFile {
    /// Which file it is and when it last changed, to tell whether it is still being written, or was replaced.
    struct Facts: Equatable {
        var isRegular: Bool
        var inode: UInt64
        var size: Int64
        /// Nanoseconds since 1970.
        var modified: Int64
        /// The file's names: more than one when it has hard links.
        var links: Int

        init(_ found: stat) {
            isRegular = found.st_mode & S_IFMT == S_IFREG
            inode = UInt64(found.st_ino)
            size = Int64(found.st_size)
            links = Int(found.st_nlink)
            modified = Int64(found.st_mtim.tv_sec) * 1_000_000_000 + Int64(found.st_mtim.tv_nsec)
        }
    }

    static func facts(_ path: String) throws(SystemError) -> Facts {
        var found = stat()
        guard lstat(path, &found) == 0 else { throw SystemError("stat", path) }
        return Facts(found)
    }

    static func exists(_ path: String) -> Bool {
        var found = stat()
        return lstat(path, &found) == 0
    }

    /// The first `limit` bytes from `offset`; negative counts from the end. EINVAL when it is not a regular file.
    static func read(_ path: String, from offset: Int64 = 0, limit: Int) throws(SystemError) -> [UInt8] {
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard file >= 0 else { throw SystemError("open", path) }
        defer { close(file) }
        var found = stat()
        guard fstat(file, &found) == 0 else { throw SystemError("stat", path) }
        let facts = Facts(found)
        guard facts.isRegular else { throw SystemError("read", path, code: EINVAL) }
        var at = offset >= 0 ? offset : max(0, facts.size + offset)
        // A file may grow while it is read; what it had when it was opened is enough, but for files of no size (/proc).
        let wanted = facts.size > 0 ? min(limit, Int(max(0, facts.size - at))) : min(limit, 4096)
        var failure: SystemError?
        let bytes = [UInt8](unsafeUninitializedCapacity: wanted) { buffer, filled in
            while filled < wanted {
                let count = pread(file, buffer.baseAddress! + filled, wanted - filled, off_t(at))
                if count < 0, errno == EINTR { continue }
                if count < 0 { failure = SystemError("read", path) }
                if count <= 0 { break }
                filled += count
                at += Int64(count)
            }
        }
        if let failure { throw failure }
        return bytes
    }

    static func write(_ bytes: [UInt8], to path: String, mode: mode_t = 0o600) throws(SystemError) {
        try write(bytes, to: path, mode: mode, durably: false)
    }

    /// Readers see the old file or the new one. When this returns, the new one survives a power cut; without
    /// `syncsDirectory`, once the caller has synced the directory.
    static func replace(
        _ path: String, with bytes: [UInt8], mode: mode_t = 0o644, syncsDirectory: Bool = true
    ) throws(SystemError) {
        let slash = path.lastIndex(of: "/") ?? path.startIndex
        let name = path[slash...].drop { $0 == "/" }
        let directory = slash == path.startIndex ? "." : String(path[..<slash])
        let temporary = "\(directory)/.\(name).tmp"
        try write(bytes, to: temporary, mode: mode, durably: true)
        guard rename(temporary, path) == 0 else { throw SystemError("rename", temporary) }
        if syncsDirectory { try syncDirectory(directory) }
    }

    /// A new file, durable but for its directory's entry. EEXIST when there is one of that name.
    static func create(_ path: String, with bytes: [UInt8], mode: mode_t = 0o644) throws(SystemError) {
        let file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode)
        guard file >= 0 else { throw SystemError("open", path) }
        do throws(SystemError) {
            defer { close(file) }
            try write(bytes, to: file, path)
            guard fsync(file) == 0 else { throw SystemError("fsync", path) }
        } catch {
            unlink(path)
            throw error
        }
    }

    /// A rename that fails with EEXIST rather than replace what is there.
    static func move(_ path: String, to target: String) throws(SystemError) {
        if clinux_rename_exclusively(path, target) == 0 { return }
        // Not every file system can; then there is a moment between the look and the rename.
        guard errno == EINVAL || errno == ENOSYS else { throw SystemError("rename", path) }
        if exists(target) { throw SystemError("rename", path, code: EEXIST) }
        guard rename(path, target) == 0 else { throw SystemError("rename", path) }
    }

    static func syncDirectory(_ path: String) throws(SystemError) {
        let directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw SystemError("open", path) }
        defer { close(directory) }
        guard fsync(directory) == 0 else { throw SystemError("fsync", path) }
    }

    /// True when it was not there before. Its parents must exist.
    @discardableResult
    static func makeDirectory(_ path: String, mode: mode_t = 0o700) throws(SystemError) -> Bool {
        if mkdir(path, mode) == 0 { return true }
        guard errno == EEXIST else { throw SystemError("mkdir", path) }
        return false
    }

    /// With all parents that are missing.
    static func makeDirectories(_ path: String, mode: mode_t = 0o755) throws(SystemError) {
        var at = path.startIndex
        while let slash = path[at...].dropFirst().firstIndex(of: "/") {
            try makeDirectory(String(path[..<slash]), mode: mode)
            at = slash
        }
        try makeDirectory(path, mode: mode)
    }

    /// Absolute and without links; the path itself when there is no such file.
    static func resolved(_ path: String) -> String {
        guard let resolved = realpath(path, nil) else { return path }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// The names in a directory, without . and .., in no order. One that is not UTF-8 comes with U+FFFD in it, and is no
    /// path to its file.
    static func names(in path: String) throws(SystemError) -> [String] {
        try rawNames(in: path).map { String(decoding: $0, as: UTF8.self) }
    }

    /// The same as they are: any bytes but 0 and "/".
    static func rawNames(in path: String) throws(SystemError) -> [[UInt8]] {
        guard let directory = opendir(path) else { throw SystemError("opendir", path) }
        defer { closedir(directory) }
        var names: [[UInt8]] = []
        errno = 0
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in Array(bytes.prefix { $0 != 0 }) }
            if name != [0x2e], name != [0x2e, 0x2e] { names.append(name) }
            errno = 0
        }
        guard errno == 0 else { throw SystemError("readdir", path) }
        return names
    }

    private static func write(
        _ bytes: [UInt8], to path: String, mode: mode_t, durably: Bool
    ) throws(SystemError) {
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode)
        guard file >= 0 else { throw SystemError("open", path) }
        defer { close(file) }
        try write(bytes, to: file, path)
        if durably, fsync(file) != 0 { throw SystemError("fsync", path) }
    }

    private static func write(_ bytes: [UInt8], to file: Int32, _ path: String) throws(SystemError) {
        var at = 0
        while at < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.write(file, $0.baseAddress! + at, $0.count - at) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw SystemError("write", path) }
            at += count
        }
    }
}
