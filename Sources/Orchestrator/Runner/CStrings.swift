import Glibc

/// Arrays of C strings, as posix_spawn takes them.
enum CStrings {
    /// Calls `body` with a NULL-terminated array that lives as long as the call.
    static func with<Result>(_ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Result) -> Result {
        let copies = strings.map { strdup($0) } + [nil]
        defer { copies.forEach { free($0) } }
        return body(copies)
    }
}
