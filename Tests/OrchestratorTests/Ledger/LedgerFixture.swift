import Foundation
import Logging
import Synchronization
import Testing

@testable import Orchestrator

/// A directory of its own for one test, removed afterwards.
final class LedgerDirectory {
    let path = NSTemporaryDirectory() + "/ledger-test-" + JobID.make(at: .now())

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// What a process killed now would leave. Between two commits only: the files are copied one after the other.
    func copy() throws -> LedgerDirectory {
        let copy = LedgerDirectory()
        try FileManager.default.createDirectory(atPath: copy.path, withIntermediateDirectories: true)
        for name in ["ledger.sqlite", "ledger.sqlite-wal"] {
            try FileManager.default.copyItem(atPath: "\(path)/\(name)", toPath: "\(copy.path)/\(name)")
        }
        return copy
    }

    /// Images that a test can take apart again: `sequence:type:job;` for an event.
    static let encoders = Ledger.Encoders(
        event: { Array("\($0.sequence):\($0.type.rawValue):\($0.jobID);".utf8) },
        job: { Array("\($0.id) \($0.state.word) \($0.attempt)".utf8) })

    func open(
        _ change: (inout Ledger.Configuration) -> Void = { _ in },
        now: @escaping @Sendable () -> Timestamp = Timestamp.now
    ) throws -> Ledger {
        var configuration = Ledger.Configuration(directory: path)
        change(&configuration)
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return try Ledger.open(configuration, encoders: Self.encoders, logger: logger, now: now)
    }
}

/// A wall clock that a test sets.
final class SetClock: Sendable {
    private let time: Mutex<Timestamp>

    init(_ time: Timestamp = Timestamp(nanoseconds: 1_700_000_000_000_000_000)) { self.time = Mutex(time) }

    var now: Timestamp { time.withLock { $0 } }

    func advance(by duration: Duration) { time.withLock { $0 = $0.advanced(by: duration) } }
}

extension Ledger {
    /// The job once it is as awaited, told by the ledger's commits.
    func job(_ id: String, when isAwaited: @escaping @Sendable (Job) -> Bool) async throws -> Job {
        let (news, tell) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        observe { _ in tell.yield() }
        tell.yield()
        for await _ in news {
            let job = try await job(id)
            if isAwaited(job) { return job }
        }
        throw CancellationError()
    }

    /// Runs a job to its end.
    @discardableResult
    func run(_ id: String, _ outcome: AttemptOutcome = AttemptOutcome()) async throws -> Job {
        let job = try await start(id)
        return try await finish(id, attempt: job.attempt, outcome)
    }

    func encoded(_ id: String) -> String? {
        var text: String?
        _ = withEncodedJob(id) { text = String(decoding: $0, as: UTF8.self) }
        return text
    }

    func allEvents() async throws -> [Event] {
        var events: [Event] = []
        while true {
            let next = try await self.events.events(after: events.last?.sequence ?? 0, limit: 1_000)
            if next.isEmpty { return events }
            events += next
        }
    }
}

/// Reads a reader on, with pages of history, until it is caught up or ended.
struct ReaderTranscript {
    var text = ""
    var pages = 0

    /// - Returns: the outcome that stopped it.
    mutating func drain(_ reader: EventReader, of log: EventLog, room: Int = 16_384) async throws -> ReadOutcome {
        while true {
            let (outcome, bytes) = withUnsafeTemporaryAllocation(byteCount: room, alignment: 1) { buffer in
                let outcome = reader.read(into: buffer)
                guard case .bytes(let count) = outcome else { return (outcome, [UInt8]()) }
                return (outcome, Array(buffer[..<count]))
            }
            switch outcome {
            case .bytes: text += String(decoding: bytes, as: UTF8.self)
            case .needsHistory:
                pages += 1
                reader.supply(try await log.page(after: reader.cursor, filter: reader.pageFilter, maxBytes: 2_000))
            case .caughtUp, .ended: return outcome
            }
        }
    }

    var sequences: [UInt64] {
        text.split(separator: ";").map { UInt64($0.prefix { $0 != ":" }) ?? 0 }
    }
}

/// Lets a test wait for what another thread tells.
final class Signal: Sendable {
    private let state = Mutex<(count: Int, waiter: CheckedContinuation<Void, Never>?)>((0, nil))

    func raise() {
        state.withLock { state -> CheckedContinuation<Void, Never>? in
            state.count += 1
            defer { state.waiter = nil }
            return state.waiter
        }?.resume()
    }

    /// Until it was raised since the last wait.
    func wait() async {
        await withCheckedContinuation { waiter in
            let raised = state.withLock { state in
                if state.count > 0 {
                    state.count = 0
                    return true
                }
                state.waiter = waiter
                return false
            }
            if raised { waiter.resume() }
        }
        state.withLock { $0.count = 0 }
    }
}
