import Foundation
import Glibc

/// A program of the system's, run for a moment for what it prints. Blocks.
enum ShortCommand {
    struct Answer {
        /// As a shell tells it.
        var status: Int32
        /// At most 1 MiB.
        var output: String
        /// Its standard error on one line.
        var errors: String
    }

    /// ETIMEDOUT when it did not end in time.
    static func run(_ arguments: [String], timeout: Duration) throws(SystemError) -> Answer {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: arguments[0])
        process.arguments = Array(arguments.dropFirst())
        process.standardInput = FileHandle.nullDevice
        let output = NSTemporaryDirectory() + "dspy-command-\(UUID().uuidString)"
        defer {
            unlink(output)
            unlink(output + ".errors")
        }
        // Files, as a full pipe would stop it.
        for path in [output, output + ".errors"] { try WholeFile.write([], to: path) }
        guard let out = FileHandle(forWritingAtPath: output),
            let errors = FileHandle(forWritingAtPath: output + ".errors")
        else { throw SystemError("open", output) }
        process.standardOutput = out
        process.standardError = errors
        let ended = DispatchSemaphore(value: 0)
        process.terminationHandler = { _ in ended.signal() }
        do { try process.run() } catch { throw SystemError("run", arguments[0], code: ENOENT) }
        if ended.wait(timeout: .now() + timeout.inSeconds) == .timedOut {
            kill(process.processIdentifier, SIGKILL)
            ended.wait()
            throw SystemError("run", arguments[0], code: ETIMEDOUT)
        }
        let text = { (path: String) in
            String(decoding: (try? WholeFile.read(path, limit: 1 << 20)) ?? [], as: UTF8.self)
        }
        let words = text(output + ".errors").split(whereSeparator: \.isNewline).joined(separator: " ")
        let signalled = process.terminationReason == .uncaughtSignal
        return Answer(
            status: process.terminationStatus + (signalled ? 128 : 0), output: text(output),
            errors: String(words.prefix(500)))
    }
}
