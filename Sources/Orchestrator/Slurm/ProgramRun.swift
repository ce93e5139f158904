import CLinux
import Glibc

/// Runs one program to its end and reads what it says: the only place where the bridge touches Slurm. Blocking; to be
/// called off the tasks' threads.
enum ProgramRun {
    struct Output: Sendable, Equatable {
        var standardOutput: [UInt8]
        var standardError: [UInt8]
        /// -1 when a signal ended it.
        var exitCode: Int32
        var timedOut: Bool
        /// More was said than is kept.
        var isCut: Bool
    }

    /// - Parameters:
    ///   - timeout: then SIGTERM, a second later SIGKILL.
    ///   - outputLimit: bytes kept of each stream; what comes after is read and dropped.
    ///   - inherited: a descriptor that the program holds open while it lives, such as a lock.
    static func run(
        _ program: String, _ arguments: [String], environment: [String: String], timeout: Duration,
        outputLimit: Int = 16 << 20, inherited: Int32? = nil
    ) throws(SystemError) -> Output {
        var output = try Pipe(program)
        defer { output.closeBoth() }
        var errors = try Pipe(program)
        defer { errors.closeBoth() }
        let pid = try spawn(
            program, arguments, environment, output: output.writeEnd, errors: errors.writeEnd, inherited: inherited)
        output.closeWriteEnd()
        errors.closeWriteEnd()
        let process = clinux_pidfd_open(pid)
        defer { if process >= 0 { close(process) } }

        let start = ContinuousClock.now
        var killAt = start + timeout
        var timedOut = false
        var hasEnded = false
        var streams = [Stream(descriptor: output.readEnd), Stream(descriptor: errors.readEnd)]
        while !hasEnded {
            var watched = streams.map { pollfd(fd: $0.isOpen ? $0.descriptor : -1, events: Int16(POLLIN), revents: 0) }
            watched.append(pollfd(fd: process, events: Int16(POLLIN), revents: 0))
            let left = killAt - ContinuousClock.now
            let wait = max(0, min(60_000, left.nanoseconds / 1_000_000 + 1))
            let count = poll(&watched, nfds_t(watched.count), Int32(wait))
            if count < 0, errno != EINTR { break }
            for index in streams.indices where count > 0 && watched[index].revents != 0 {
                streams[index].read(limit: outputLimit)
            }
            // Without a descriptor (there was none left), its end is that of what it says.
            hasEnded = process < 0 ? !streams.contains(where: \.isOpen) : count > 0 && watched[2].revents != 0
            if ContinuousClock.now >= killAt, !hasEnded {
                // Not reaped yet, so the pid is still its own.
                kill(pid, timedOut ? SIGKILL : SIGTERM)
                timedOut = true
                killAt = ContinuousClock.now + .seconds(1)
            }
        }
        // What it said last; a descendant may hold the pipe open, so no further than what is there.
        for index in streams.indices { streams[index].drain(limit: outputLimit) }
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        return Output(
            standardOutput: streams[0].bytes, standardError: streams[1].bytes,
            exitCode: status & 0x7f == 0 ? status >> 8 & 0xff : -1, timedOut: timedOut,
            isCut: streams.contains(where: \.isCut))
    }

    private static func spawn(
        _ program: String, _ arguments: [String], _ environment: [String: String], output: Int32, errors: Int32,
        inherited: Int32?
    ) throws(SystemError) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        guard posix_spawn_file_actions_init(&actions) == 0 else {
            throw SystemError("posix_spawn", program, code: ENOMEM)
        }
        defer { posix_spawn_file_actions_destroy(&actions) }
        guard posix_spawnattr_init(&attributes) == 0 else { throw SystemError("posix_spawn", program, code: ENOMEM) }
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        posix_spawn_file_actions_adddup2(&actions, errors, 2)
        if let inherited { posix_spawn_file_actions_adddup2(&actions, inherited, 3) }
        // It may outlive this server, and must not hold its sockets: the next one listens on the same ports.
        guard clinux_spawn_closes_from(&actions, inherited == nil ? 3 : 4) == 0 else {
            throw SystemError("posix_spawn", program, code: ENOMEM)
        }
        var none = sigset_t()
        var everything = sigset_t()
        sigemptyset(&none)
        sigfillset(&everything)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &everything)
        // A group of its own: a Ctrl-C meant for the server is not meant for an sbatch under way.
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGMASK) | Int16(POSIX_SPAWN_SETSIGDEF) | Int16(POSIX_SPAWN_SETPGROUP))
        var pid: pid_t = 0
        let code = CStrings.with([program] + arguments) { words in
            CStrings.with(environment.map { "\($0.key)=\($0.value)" }) { variables in
                posix_spawn(&pid, program, &actions, &attributes, words, variables)
            }
        }
        guard code == 0 else { throw SystemError("posix_spawn", program, code: code) }
        return pid
    }

    private struct Pipe {
        let readEnd: Int32
        private(set) var writeEnd: Int32

        init(_ subject: String) throws(SystemError) {
            var ends: [Int32] = [-1, -1]
            guard clinux_pipe(&ends) == 0 else { throw SystemError("pipe", subject) }
            // Ours alone: the program's end blocks, as programs expect.
            _ = fcntl(ends[0], F_SETFL, O_NONBLOCK)
            readEnd = ends[0]
            writeEnd = ends[1]
        }

        mutating func closeWriteEnd() {
            if writeEnd >= 0 { close(writeEnd) }
            writeEnd = -1
        }

        mutating func closeBoth() {
            closeWriteEnd()
            close(readEnd)
        }
    }

    private struct Stream {
        let descriptor: Int32
        var bytes: [UInt8] = []
        var isOpen = true
        var isCut = false

        /// Once, at most 64 KiB; false when nothing was there.
        @discardableResult
        mutating func read(limit: Int) -> Bool {
            var buffer = [UInt8](repeating: 0, count: 64 << 10)
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count == 0 { isOpen = false }
            guard count > 0 else { return false }
            let kept = min(count, limit - bytes.count)
            bytes.append(contentsOf: buffer[..<kept])
            if kept < count { isCut = true }
            return true
        }

        mutating func drain(limit: Int) {
            while isOpen, read(limit: limit) {}
        }
    }
}
