import CLinux
import Foundation
import Glibc
import Synchronization

/// Waits for any number of processes on one thread, by their pid descriptors.
final class ProcessWatch: Sendable {
    private let shared: Shared

    /// What the thread needs, apart from the watch, so that the thread does not keep the watch alive.
    private final class Shared: Sendable {
        static let stopToken: UInt64 = 0
        /// That the eventfd takes a number, which is told too, is none.
        static let news = CLINUX_INPUT | CLINUX_END

        let epoll: Int32
        let stop: Int32
        let waiting = Mutex<Waiting>(Waiting())

        struct Waiting {
            var lastToken = Shared.stopToken
            var processes: [UInt64: (descriptor: Int32, continuation: CheckedContinuation<Void, Never>)] = [:]
        }

        init(epoll: Int32, stop: Int32) {
            self.epoll = epoll
            self.stop = stop
        }

        func watch() {
            var events = [clinux_event](repeating: clinux_event(), count: 64)
            while true {
                let count = clinux_epoll_wait(epoll, &events, Int32(events.count), -1)
                for event in events.prefix(Int(max(0, count))) where Int(event.ready) & Self.news != 0 {
                    if event.token == Self.stopToken {
                        close(epoll)
                        close(stop)
                        return
                    }
                    let ended = waiting.withLock { $0.processes.removeValue(forKey: event.token) }
                    guard let ended else { continue }
                    _ = clinux_epoll_unwatch(epoll, ended.descriptor)
                    ended.continuation.resume()
                }
            }
        }
    }

    init() throws(OrchestratorError) {
        let epoll = clinux_epoll_create()
        let stop = clinux_eventfd()
        guard epoll >= 0, stop >= 0, clinux_epoll_watch(epoll, stop, Shared.stopToken) == 0 else {
            throw OrchestratorError(.internal, "processes can't be watched: \(SystemError("epoll", "").description)")
        }
        shared = Shared(epoll: epoll, stop: stop)
        let thread = Thread { [shared] in shared.watch() }
        thread.name = "process-watch"
        thread.start()
    }

    /// Nobody waits any more: whoever does holds the watch.
    deinit {
        var one: UInt64 = 1
        _ = Glibc.write(shared.stop, &one, MemoryLayout<UInt64>.size)
    }

    /// Returns once the process has ended. The descriptor stays the caller's.
    func end(of descriptor: Int32) async {
        await withCheckedContinuation { continuation in
            let token = shared.waiting.withLock { waiting in
                waiting.lastToken += 1
                waiting.processes[waiting.lastToken] = (descriptor, continuation)
                return waiting.lastToken
            }
            guard clinux_epoll_watch(shared.epoll, descriptor, token) != 0 else { return }
            // Not watchable is out of memory or of watches; a thread of its own then waits.
            let waiting = shared.waiting.withLock { $0.processes.removeValue(forKey: token) }
            guard let waiting else { return }
            Thread.detachNewThread {
                var watched = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                while poll(&watched, 1, -1) < 0 {}
                waiting.continuation.resume()
            }
        }
    }
}
