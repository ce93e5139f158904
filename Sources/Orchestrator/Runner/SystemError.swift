import Glibc

/// A call of the system that failed, on what, and why.
struct SystemError: Error, Equatable, CustomStringConvertible {
    var call: String
    var subject: String
    var code: Int32

    /// Takes the reason from `errno`, so it must be made before any other call.
    init(_ call: String, _ subject: String) {
        self.init(call, subject, code: errno)
    }

    init(_ call: String, _ subject: String, code: Int32) {
        self.call = call
        self.subject = subject
        self.code = code
    }

    var description: String { "\(call) \(subject.asJSON): \(Self.words(code))" }

    /// The machine is short of something it may have again soon.
    var isShortage: Bool { Self.isShortage(code) }

    static func isShortage(_ code: Int32) -> Bool {
        [EAGAIN, ENOMEM, EMFILE, ENFILE, ENOSPC, EDQUOT].contains(code)
    }

    static func words(_ code: Int32) -> String { String(cString: strerror(code)) }
}
