import Dispatch
import Glibc
import Synchronization

/// Tells that a directory may have new files (inotify(7)): a file in it was closed after writing, or renamed into it. A
/// hint only: events may be lost, so whoever listens also looks now and then.
final class DirectoryHints: Sendable {
    /// One element stands for any number of changes.
    let hints: AsyncStream<Void>

    private let descriptor: Int32
    private let directory: String
    /// A dispatch object: its methods may be called from any thread.
    private nonisolated(unsafe) let source: any DispatchSourceRead
    private let wake: AsyncStream<Void>.Continuation
    private let news = News()

    /// Of its own, as it outlives neither the source nor this.
    private final class News: Sendable {
        let isThere = Atomic<Bool>(true)
    }

    init(_ directory: String) throws(SystemError) {
        descriptor = inotify_init1(Int32(IN_NONBLOCK) | Int32(IN_CLOEXEC))
        guard descriptor >= 0 else { throw SystemError("inotify_init", directory) }
        self.directory = directory
        (hints, wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        source = DispatchSource.makeReadSource(
            fileDescriptor: descriptor, queue: DispatchQueue(label: "file-queue.hints", qos: .userInitiated))
        source.setEventHandler { [descriptor, wake, news] in
            // What they say does not matter, an overflow included: the answer is to look.
            var events = [UInt8](repeating: 0, count: 16 << 10)
            while read(descriptor, &events, events.count) > 0 {}
            news.isThere.store(true, ordering: .releasing)
            wake.yield()
        }
        source.setCancelHandler { [descriptor] in close(descriptor) }
        source.activate()
        do {
            try renew()
        } catch {
            source.cancel()
            throw error
        }
    }

    deinit {
        source.cancel()
        wake.finish()
    }

    /// Watches the directory that has the path now: somebody may have replaced it. Nothing changes when it is the same.
    func renew() throws(SystemError) {
        guard inotify_add_watch(descriptor, directory, UInt32(IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR)) >= 0 else {
            throw SystemError("inotify_add_watch", directory)
        }
    }

    /// As if something had happened in the directory.
    func hint() {
        news.isThere.store(true, ordering: .releasing)
        wake.yield()
    }

    /// Something happened, though not in the directory.
    func hintOfRoom() { wake.yield() }

    /// Whether something may have happened in the directory since this was last asked.
    func takeNews() -> Bool { news.isThere.exchange(false, ordering: .acquiringAndReleasing) }
}
