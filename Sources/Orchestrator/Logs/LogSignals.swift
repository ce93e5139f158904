import Dispatch
import Glibc
import Synchronization

/// Wakes those that follow attempts' output: when files in the attempt's directory grow (inotify(7)), and when the ledger
/// has news of the job. One element stands for any number of changes, so a command that writes without end costs its
/// followers no queue.
final class LogSignals: Sendable {
    /// One follower's place; give it back with `remove`.
    struct Token: Sendable, Hashable {
        fileprivate let number: UInt64
    }

    private struct Follower {
        var jobID: String
        var watch: Int32?
        var wake: AsyncStream<Void>.Continuation
    }

    private struct State {
        var last: UInt64 = 0
        var followers: [UInt64: Follower] = [:]
        var byJob: [String: Set<UInt64>] = [:]
        var byWatch: [Int32: Set<UInt64>] = [:]
        /// Made for the first follower: a user may have only some hundred of them.
        var watcher: Watcher?
    }

    private final class Watcher: Sendable {
        let descriptor: Int32
        /// A dispatch object: its methods may be called from any thread.
        private nonisolated(unsafe) let source: any DispatchSourceRead

        /// nil when the system has no more of them.
        init?(_ drain: @escaping @Sendable (Int32) -> Void) {
            let descriptor = inotify_init1(Int32(IN_NONBLOCK) | Int32(IN_CLOEXEC))
            guard descriptor >= 0 else { return nil }
            self.descriptor = descriptor
            let queue = DispatchQueue(label: "logs.hints", qos: .userInitiated)
            source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
            source.setEventHandler {
                drain(descriptor)
                usleep(LogSignals.pause)
            }
            source.setCancelHandler { close(descriptor) }
            source.activate()
        }

        deinit { source.cancel() }
    }

    /// Microseconds between two looks at directories that change all the time; the queue has nothing else to do.
    fileprivate static let pause: UInt32 = 10_000

    private let state = Mutex(State())

    func add(jobID: String) -> (token: Token, signals: AsyncStream<Void>) {
        let (signals, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let number = state.withLock { state in
            state.last += 1
            state.followers[state.last] = Follower(jobID: jobID, wake: wake)
            state.byJob[jobID, default: []].insert(state.last)
            return state.last
        }
        return (Token(number: number), signals)
    }

    /// - Returns: whether growth will wake the follower; otherwise it has to look now and then.
    func watch(_ directory: String, for token: Token) -> Bool {
        state.withLock { state in
            if state.watcher == nil { state.watcher = Watcher { [weak self] in self?.drain($0) } }
            // Without one followers look now and then.
            guard let descriptor = state.watcher?.descriptor else { return false }
            // Under the lock, so that a watch is not taken away between its making and its entry here.
            let watch = inotify_add_watch(descriptor, directory, UInt32(IN_MODIFY | IN_CREATE | IN_ONLYDIR))
            guard watch >= 0, state.followers[token.number] != nil else { return false }
            state.followers[token.number]?.watch = watch
            state.byWatch[watch, default: []].insert(token.number)
            return true
        }
    }

    func remove(_ token: Token) {
        state.withLock { state in
            guard let follower = state.followers.removeValue(forKey: token.number) else { return }
            state.byJob[follower.jobID]?.remove(token.number)
            if state.byJob[follower.jobID]?.isEmpty == true { state.byJob[follower.jobID] = nil }
            guard let watch = follower.watch else { return }
            state.byWatch[watch]?.remove(token.number)
            if state.byWatch[watch]?.isEmpty == true {
                state.byWatch[watch] = nil
                if let watcher = state.watcher { inotify_rm_watch(watcher.descriptor, watch) }
            }
        }
    }

    /// As if the follower's files had grown.
    func wake(_ token: Token) { _ = state.withLock { $0.followers[token.number]?.wake }?.yield() }

    /// After each commit, on the ledger's writer.
    func changed(_ changes: [CommittedBatch.Change]) {
        state.withLock { state in
            if state.followers.isEmpty { return }
            for change in changes {
                for number in state.byJob[change.job.id] ?? [] { state.followers[number]?.wake.yield() }
            }
        }
    }

    /// Followers there are now.
    var count: Int { state.withLock { $0.followers.count } }

    private func drain(_ descriptor: Int32) {
        var changed: Set<Int32> = []
        var overflowed = false
        let header = MemoryLayout<Int32>.size * 4
        withUnsafeTemporaryAllocation(byteCount: 32 << 10, alignment: 8) { buffer in
            while true {
                let filled = read(descriptor, buffer.baseAddress, buffer.count)
                if filled <= 0 { return }
                var at = 0
                // struct inotify_event: wd, mask, cookie, len, then the name of len bytes.
                while at + header <= filled {
                    changed.insert(buffer.loadUnaligned(fromByteOffset: at, as: Int32.self))
                    if buffer.loadUnaligned(fromByteOffset: at + 4, as: UInt32.self) & UInt32(IN_Q_OVERFLOW) != 0 {
                        overflowed = true
                    }
                    at += header + Int(buffer.loadUnaligned(fromByteOffset: at + 12, as: UInt32.self))
                }
            }
        }
        state.withLock { state in
            let watches = overflowed ? Set(state.byWatch.keys) : changed
            for watch in watches {
                for number in state.byWatch[watch] ?? [] { state.followers[number]?.wake.yield() }
            }
        }
    }
}
