import CLinux
import Glibc

/// Starts one supervisor.
enum SupervisorProcess {
    /// The number under which a supervisor finds its lock.
    private static let lockDescriptor: Int32 = 3

    /// The number under which it finds the lifeline.
    private static let lifelineDescriptor: Int32 = 4

    /// The first of the numbers under which it finds the command's own standard input, output and error.
    private static let stdioDescriptor: Int32 = 5

    struct Started {
        var pid: pid_t
        /// Its pid descriptor, the caller's to close.
        var descriptor: Int32
    }

    /// By posix_spawn: no copy of the server's memory, no thread's locks taken over. `lock` is the descriptor that holds
    /// the attempt's lock; the supervisor shares it. With a `lifeline` the attempt ends when the pipe's other end is gone;
    /// with `stdio` these three are the command's own. They and the lifeline have numbers from 16 on.
    static func start(
        program: String, arguments: [String], environment: [String: String], lock: Int32, lifeline: Int32? = nil,
        stdio: [Int32] = []
    ) throws(SystemError) -> Started {
        var actions = posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        guard posix_spawn_file_actions_init(&actions) == 0 else {
            throw SystemError("posix_spawn", program, code: ENOMEM)
        }
        defer { posix_spawn_file_actions_destroy(&actions) }
        guard posix_spawnattr_init(&attributes) == 0 else { throw SystemError("posix_spawn", program, code: ENOMEM) }
        defer { posix_spawnattr_destroy(&attributes) }

        // Not the server's own standard output: whoever reads that to its end must not wait for jobs.
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0)
        posix_spawn_file_actions_adddup2(&actions, 0, 1)
        posix_spawn_file_actions_adddup2(&actions, 0, 2)
        posix_spawn_file_actions_adddup2(&actions, lock, lockDescriptor)
        if let lifeline { posix_spawn_file_actions_adddup2(&actions, lifeline, lifelineDescriptor) }
        for (number, descriptor) in zip(stdioDescriptor..., stdio) {
            posix_spawn_file_actions_adddup2(&actions, descriptor, number)
        }

        // A cancel that comes before the supervisor listens for it waits instead of ending it unrecorded.
        var everything = sigset_t()
        sigfillset(&everything)
        posix_spawnattr_setsigmask(&attributes, &everything)
        posix_spawnattr_setsigdefault(&attributes, &everything)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK) | Int16(POSIX_SPAWN_SETSIGDEF))

        var words = [program, "--lock-fd", String(lockDescriptor)]
        if lifeline != nil { words += ["--lifeline-fd", String(lifelineDescriptor)] }
        if !stdio.isEmpty { words += ["--stdio-fd", String(stdioDescriptor)] }
        words += arguments
        let variables = environment.map { "\($0.key)=\($0.value)" }
        // Given back right after the spawn, so that a process that was started can also be watched.
        let reserve = fcntl(lock, F_DUPFD_CLOEXEC, 3)
        guard reserve >= 0 else { throw SystemError("dup", program) }
        var pid: pid_t = 0
        let code = CStrings.with(words) { words in
            CStrings.with(variables) { variables in
                posix_spawn(&pid, program, &actions, &attributes, words, variables)
            }
        }
        close(reserve)
        guard code == 0 else { throw SystemError("posix_spawn", program, code: code) }
        let descriptor = clinux_pidfd_open(pid)
        guard descriptor >= 0 else {
            // It runs, but can be neither awaited nor cancelled. Not reported as a shortage: the command may have begun.
            kill(pid, SIGTERM)
            waitpid(pid, nil, 0)
            throw SystemError("pidfd_open", program, code: ESRCH)
        }
        return Started(pid: pid, descriptor: descriptor)
    }

    /// How a child that has ended ended, for messages; reaps it.
    static func reap(_ pid: pid_t) -> String {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 {
            guard errno == EINTR else { return "unknown status" }
        }
        return status & 0x7f == 0 ? "exit code \(status >> 8 & 0xff)" : SignalName.of(status & 0x7f)
    }
}
