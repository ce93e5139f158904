import CLinux
import Foundation
import Glibc

/// This server's ends of a worker's standard input, output and error.
///
/// - Invariant for `@unchecked Sendable`: one exchange at a time, which its pool sees to; everything that changes is
///   touched by that exchange's thread alone.
final class WorkerConnection: @unchecked Sendable {
    enum Answer: Equatable {
        case reply(WorkerMessage.Reply)
        case timedOut
        /// It closed its output: it has ended, or is about to.
        case ended
        /// It said what no worker says.
        case malformed(String)
    }

    /// Where what it writes to standard error goes meanwhile.
    struct ErrorFile {
        var path: String
        /// Bytes.
        var cap: Int64
    }

    private let input: Int32
    private let output: Int32
    private let errors: Int32
    private var received: [UInt8] = []
    /// Of one message, both ways.
    private(set) var mostBytes = WorkerMessage.usualMostBytes
    /// Until it closes its standard error.
    private var hasErrors = true
    /// The last of standard error.
    private(set) var errorTail: [UInt8] = []

    private static let tailBytes = 16 << 10

    /// The worker's ends, for its supervisor; to be closed once that has them.
    struct Ends {
        var stdio: [Int32]

        func close() { stdio.forEach { _ = Glibc.close($0) } }
    }

    static func make() throws(SystemError) -> (WorkerConnection, Ends) {
        // Its input is a socket, as writing to one that is closed can be had without a signal.
        var sockets: [Int32] = [-1, -1]
        var output: [Int32] = [-1, -1]
        var errors: [Int32] = [-1, -1]
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, type, 0, &sockets) == 0, clinux_pipe(&output) == 0, clinux_pipe(&errors) == 0 else {
            let error = SystemError("pipe", "worker")
            (sockets + output + errors).filter { $0 >= 0 }.forEach { _ = close($0) }
            throw error
        }
        // Away from the numbers that a supervisor's own descriptors get while it is being started.
        let given = [sockets[1], output[1], errors[1]]
        let high = given.map { fcntl($0, F_DUPFD_CLOEXEC, 16) }
        let error = SystemError("dup", "worker")
        given.forEach { _ = close($0) }
        let connection = WorkerConnection(input: sockets[0], output: output[0], errors: errors[0])
        guard high.allSatisfy({ $0 >= 0 }) else {
            high.filter { $0 >= 0 }.forEach { _ = close($0) }
            throw error
        }
        return (connection, Ends(stdio: high))
    }

    private init(input: Int32, output: Int32, errors: Int32) {
        self.input = input
        self.output = output
        self.errors = errors
        for end in [output, errors] { _ = fcntl(end, F_SETFL, O_NONBLOCK) }
    }

    deinit { [input, output, errors].forEach { _ = close($0) } }

    /// Whether the worker, which nobody asked anything, has gone or spoken.
    var isStale: Bool {
        var watched = pollfd(fd: output, events: Int16(POLLIN), revents: 0)
        return !received.isEmpty || poll(&watched, 1, 0) != 0
    }

    /// Sends a message, if any, and waits for the next one of the worker's, on a thread of its own.
    func exchange(_ message: [UInt8], until deadline: ContinuousClock.Instant, errorFile: ErrorFile?) async -> Answer {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread { [self] in
                continuation.resume(returning: converse(message, until: deadline, errorFile))
            }
        }
    }

    /// It then ends by itself, when it has done what it does.
    func closeInput() { shutdown(input, Int32(SHUT_WR)) }

    /// What it still had to say on standard error, once it has ended.
    func drain() { pumpErrors(-1, cap: 0, kept: nil) }

    private func converse(
        _ message: [UInt8], until deadline: ContinuousClock.Instant, _ errorFile: ErrorFile?
    ) -> Answer {
        let file = errorFile.map { open($0.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o644) } ?? -1
        defer { if file >= 0 { close(file) } }
        var kept: Int64 = 0
        var left = message[...]
        while true {
            do throws(WorkerMessage.Malformed) {
                if let reply = try WorkerMessage.next(in: &received, mostBytes: mostBytes) {
                    if case .hello(let hello) = reply { mostBytes = hello.mostBytes }
                    pumpErrors(file, cap: errorFile?.cap ?? 0, kept: &kept)
                    return .reply(reply)
                }
            } catch {
                return .malformed(error.reason)
            }
            let now = ContinuousClock.now
            guard now < deadline else { return .timedOut }
            let wait = min((deadline - now).inSeconds * 1000, 60_000).rounded(.up)
            var watched = [
                pollfd(fd: output, events: Int16(POLLIN), revents: 0),
                pollfd(fd: hasErrors ? errors : -1, events: Int16(POLLIN), revents: 0),
                pollfd(fd: left.isEmpty ? -1 : input, events: Int16(POLLOUT), revents: 0),
            ]
            guard poll(&watched, 3, Int32(wait)) > 0 else { continue }
            if watched[1].revents != 0, !pumpErrors(file, cap: errorFile?.cap ?? 0, kept: &kept) {
                hasErrors = false
            }
            if watched[2].revents != 0 {
                let sent = left.withUnsafeBytes {
                    send(input, $0.baseAddress!, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
                }
                if sent > 0 { left = left.dropFirst(sent) } else if errno != EAGAIN, errno != EINTR { left = [] }
            }
            if watched[0].revents != 0, !pumpOutput() {
                pumpErrors(file, cap: errorFile?.cap ?? 0, kept: &kept)
                return .ended
            }
        }
    }

    /// False at the end of it.
    private func pumpOutput() -> Bool {
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = read(output, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EAGAIN { return true }
            if count <= 0 { return false }
            received += buffer[..<count]
            if count < buffer.count || received.count > mostBytes { return true }
        }
    }

    /// Reads what is there. False when the other end is closed.
    @discardableResult
    private func pumpErrors(_ file: Int32, cap: Int64, kept: UnsafeMutablePointer<Int64>?) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 16 << 10)
        // Bounded, so that one that writes without an end does not keep this here.
        for _ in 0..<64 {
            let count = read(errors, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            if count <= 0 { return count < 0 }
            errorTail += buffer[..<count]
            if errorTail.count > Self.tailBytes { errorTail.removeFirst(errorTail.count - Self.tailBytes) }
            guard file >= 0, let kept else { continue }
            let room = min(Int64(count), max(0, cap - kept.pointee))
            if room > 0 { kept.pointee += Int64(max(0, Glibc.write(file, buffer, Int(room)))) }
        }
        return true
    }

    /// The words of one job are not the next one's.
    func forgetErrors() { errorTail = [] }
}
