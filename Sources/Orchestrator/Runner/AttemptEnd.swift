import Glibc

/// All that is known of an attempt once its supervisor has left a record, and the rule that makes an outcome of it.
struct AttemptEnd: Sendable {
    var record: ExitRecord
    var result: AttemptResult
    /// The end of standard error.
    var errorTail: [UInt8]
    var command: JobCommand
    var timeout: Duration
    /// Where the program was looked for.
    var path: String
    var limits = ResourceLimits.none

    /// nil when the machine was short of something before the command ran, and starting it again may work.
    var outcome: AttemptOutcome? {
        switch record.end {
        case .notStarted(let step, let code):
            // A directory or program that is missing stays missing; EAGAIN and the like pass. ENOMEM is also what exec
            // says of a damaged program.
            if SystemError.isShortage(code), step != "exec" || code != ENOMEM { return nil }
            return AttemptOutcome(failure: .runnerError, error: startFailure(step: step, code: code))
        case .exited(let code):
            return ended(exitCode: code, signal: 0)
        case .signalled(let signal):
            return ended(exitCode: 0, signal: signal)
        }
    }

    private func ended(exitCode: Int32, signal: Int32) -> AttemptOutcome {
        var outcome = AttemptOutcome(exitCode: exitCode, signal: signal)
        if case .json(let json) = result { outcome.result = json }
        if record.timedOut {
            outcome.failure = .timeout
            outcome.error = "timed out after \(Self.seconds(timeout))" + leftovers
        } else if record.cancelled {
            outcome.failure = .runnerError
            outcome.error = "the attempt was told to stop" + leftovers
        } else if record.outOfMemory, signal != 0 || exitCode != 0 {
            // A command that went on without the process that was killed, and ended well, has ended well.
            outcome.failure = .outOfMemory
            outcome.error = "ran out of memory" + memoryLimit + lastWords + leftovers
        } else if signal != 0 {
            outcome.failure = .signal
            outcome.error = "ended by \(SignalName.of(signal))" + processLimit + lastWords + leftovers
        } else if exitCode != 0 {
            outcome.failure = .exitCode
            outcome.error = "exited with code \(exitCode)" + processLimit + lastWords + leftovers
        } else if case .unusable(let why) = result {
            outcome.failure = .runnerError
            outcome.error = "exited with code 0, but \(why)"
        }
        return outcome
    }

    private var leftovers: String {
        record.leftovers ? "; processes of it survived SIGKILL and may still run" : ""
    }

    /// Without control characters, and at most 300 characters.
    static func oneLine(_ text: String) -> String {
        let printable = String(String.UnicodeScalarView(text.unicodeScalars.map { isControl($0) ? " " : $0 }))
        return String(printable.split(separator: " ").joined(separator: " ").prefix(mostWords))
    }

    private var memoryLimit: String {
        limits.memoryBytes.map { ": more than its limit of \($0) bytes" } ?? ""
    }

    private var processLimit: String {
        guard record.refusedForks, let most = limits.processes else { return "" }
        return "; it reached its limit of \(most) processes"
    }

    /// ": " and the last lines of standard error that have anything in them.
    private var lastWords: String {
        let words = Self.lastWords(of: errorTail)
        return words.isEmpty ? "" : ": " + words
    }

    /// The last lines that have anything in them, on one line and at most 300 characters.
    static func lastWords(of text: [UInt8]) -> String {
        var lines: [String] = []
        for line in text.split(separator: UInt8(ascii: "\n")).reversed() {
            let text = String(decoding: line, as: UTF8.self)
            let printable = String(String.UnicodeScalarView(text.unicodeScalars.map { isControl($0) ? " " : $0 }))
            let trimmed = printable.drop(while: \.isWhitespace)
            guard let last = trimmed.lastIndex(where: { !$0.isWhitespace }) else { continue }
            // The last one says most: a traceback's exception.
            let room = mostWords - lines.reduce(0) { $0 + $1.count + between.count }
            if !lines.isEmpty, trimmed[...last].count > room { break }
            lines.append(String(trimmed[...last].prefix(mostWords)))
            if lines.count == mostLines { break }
        }
        return lines.reversed().joined(separator: between)
    }

    private static let mostWords = 300
    private static let mostLines = 3
    private static let between = " | "

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value < 0x20 || (0x7f..<0xa0).contains(scalar.value)
    }

    private func startFailure(step: String, code: Int32) -> String {
        let words = SystemError.words(code)
        switch step {
        case "cwd":
            return "working directory \((command.workingDirectory ?? "").asJSON) can't be entered: \(words)"
        case "exec":
            let program = command.arguments.first ?? ""
            if code == ENOENT, !program.contains("/") {
                return "command \(program.asJSON): no such file in PATH \(path)"
            }
            if code == E2BIG { return "command \(program.asJSON): its arguments and environment are too long" }
            return "command \(program.asJSON) can't be executed: \(words)"
        case "cgroup", "limits":
            return "the attempt's limits can't be set (\(step)): \(words)"
        case "sandbox":
            return "the sandbox can't be entered: \(words)"
        default:
            return "the attempt could not be prepared (\(step)): \(words)"
        }
    }

    /// "5 s", "0.25 s".
    static func seconds(_ duration: Duration) -> String {
        let seconds = duration.inSeconds
        return seconds == seconds.rounded() ? "\(Int64(seconds)) s" : "\(seconds) s"
    }
}
