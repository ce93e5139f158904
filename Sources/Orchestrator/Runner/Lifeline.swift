import CLinux
import Glibc
import Synchronization

/// A pipe whose writing end only this process has: whoever watches the reading end learns that this process is gone,
/// however it went.
final class Lifeline: Sendable {
    /// The reading end, for others to inherit.
    let descriptor: Int32
    private let writingEnd: Int32
    private let isCut = Atomic<Bool>(false)

    init() throws(OrchestratorError) {
        var ends: [Int32] = [-1, -1]
        guard clinux_pipe(&ends) == 0 else {
            throw OrchestratorError(.internal, "no lifeline for jobs: \(SystemError("pipe", "").description)")
        }
        // Away from the numbers that a supervisor's own descriptors get while it is being started.
        let high = fcntl(ends[0], F_DUPFD_CLOEXEC, 16)
        guard high >= 0 else {
            let error = SystemError("dup", "")
            close(ends[0])
            close(ends[1])
            throw OrchestratorError(.internal, "no lifeline for jobs: \(error.description)")
        }
        close(ends[0])
        descriptor = high
        writingEnd = ends[1]
    }

    /// As if this process had gone.
    func cut() {
        if !isCut.exchange(true, ordering: .relaxed) { close(writingEnd) }
    }

    deinit {
        cut()
        close(descriptor)
    }
}
