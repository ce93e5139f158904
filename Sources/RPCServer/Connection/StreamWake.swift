import NIOCore
import Synchronization

/// What a pull source calls when it has news: asks for its stream's next read, from any thread. Does nothing once the
/// stream has gone, for the source may outlive it and even the event loop.
final class StreamWake: Sendable {
    private let eventLoop: Mutex<(any EventLoop)?>
    private let resume: @Sendable () -> Void

    /// - Parameter resume: runs on the loop.
    init(_ eventLoop: any EventLoop, resume: @escaping @Sendable () -> Void) {
        self.eventLoop = Mutex(eventLoop)
        self.resume = resume
    }

    func wake() {
        // Under the lock: a loop takes no work once it is shut down, which is after `cancel`.
        eventLoop.withLock { $0?.execute(resume) }
    }

    func cancel() { eventLoop.withLock { $0 = nil } }
}
