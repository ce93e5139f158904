/// What the supervisor says of an attempt's end: the file `exit`, one key=value a line.
struct ExitRecord: Sendable, Equatable {
    enum End: Sendable, Equatable {
        case exited(code: Int32)
        case signalled(Int32)
        case notStarted(step: String, errno: Int32)
    }

    var end: End
    var timedOut = false
    var cancelled = false
    /// That was because its server was gone.
    var orphaned = false
    /// Descendants that even SIGKILL did not end.
    var leftovers = false
    /// Some of it was killed for want of memory: its own limit, or the machine's.
    var outOfMemory = false
    /// It reached its limit of processes.
    var refusedForks = false
    var outputTruncated = false
    var errorTruncated = false
    /// Bytes the command wrote, kept or not.
    var outputBytes: UInt64 = 0
    var errorBytes: UInt64 = 0

    init(end: End, timedOut: Bool = false, cancelled: Bool = false) {
        self.end = end
        self.timedOut = timedOut
        self.cancelled = cancelled
    }

    /// nil when the text is not a whole record, as after a power cut.
    init?(parsing text: [UInt8]) {
        var fields: [Substring: Substring] = [:]
        let lines = String(decoding: text, as: UTF8.self)
        for line in lines.split(separator: "\n") {
            guard let equals = line.firstIndex(of: "=") else { return nil }
            fields[line[..<equals]] = line[line.index(after: equals)...]
        }
        func number(_ key: Substring) -> Int32? { fields[key].flatMap { Int32($0) } }
        // Written last.
        guard number("end") == 1 else { return nil }
        if let step = fields["start_error_step"], let why = number("start_errno") {
            end = .notStarted(step: String(step), errno: why)
        } else if let signal = number("signal") {
            end = .signalled(signal)
        } else if let code = number("exit_code") {
            end = .exited(code: code)
        } else {
            return nil
        }
        timedOut = number("timed_out") == 1
        cancelled = number("cancelled") == 1
        orphaned = number("orphaned") == 1
        leftovers = number("leftovers") == 1
        outOfMemory = number("out_of_memory") == 1
        refusedForks = number("refused_forks") == 1
        outputTruncated = number("stdout_truncated") == 1
        errorTruncated = number("stderr_truncated") == 1
        outputBytes = fields["stdout_bytes"].flatMap { UInt64($0) } ?? 0
        errorBytes = fields["stderr_bytes"].flatMap { UInt64($0) } ?? 0
    }
}
