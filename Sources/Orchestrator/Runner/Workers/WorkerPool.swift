import CLinux
import Dispatch
import Foundation
import Glibc
import Logging
import Synchronization

/// The handlers' long-lived processes, each under a supervisor of its own, with one job at a time. There are as many as
/// jobs that run at once; one that is free is used again, the one that was used last first.
final class WorkerPool: Sendable {
    /// Workers that may take each other's place.
    struct Kind: Hashable, Sendable {
        var handler: String
        var jobClass: JobClass
        var gpus: [String]
    }

    struct Setting: Sendable {
        var supervisor: String
        /// Below it each worker has a directory.
        var directory: String
        var environment: [String: String]
        var grace: Duration
        var limits: [JobClass: ResourceLimits]
        var cgroups: Cgroups
        var sandboxes: [JobClass: Sandbox]
        /// The soft limit that workers start with; nil is the server's.
        var openFiles: UInt64?
    }

    /// How a job's attempt ended with its worker.
    enum End: Sendable {
        case result([UInt8])
        /// What the function raised: in words, and whole as JSON.
        case failure(String, [UInt8])
        case timedOut
        case cancelled
        /// The worker is gone; how, if that is known, and its last words.
        case died(ExitRecord?, errorTail: [UInt8])
        case malformed(String)
        /// It never came to the job.
        case notReady(String)
    }

    private final class Worker: Sendable {
        let kind: Kind
        let directory: String
        let process: SupervisorProcess.Started
        let connection: WorkerConnection
        /// Of its start, in a row.
        let state = Mutex(State())

        struct State {
            var tasks = 0
            var pid: Int32 = 0
            var residentWhenReady: UInt64 = 0
            var idleSince = ContinuousClock.now
            /// Whether somebody looks now and then for how long it has been idle.
            var isTimed = false
        }

        init(_ kind: Kind, _ directory: String, _ process: SupervisorProcess.Started, _ connection: WorkerConnection) {
            self.kind = kind
            self.directory = directory
            self.process = process
            self.connection = connection
        }
    }

    private struct State {
        var idle: [Kind: [Worker]] = [:]
        var lastNumber: UInt64 = 0
        /// Starts that failed in a row, and when the next may be tried.
        var failures: [String: (count: Int, until: ContinuousClock.Instant)] = [:]
        var isClosed = false
    }

    private let setting: Setting
    private let watch: ProcessWatch
    private let lifeline: Lifeline
    private let logger: Logger
    private let state = Mutex(State())
    private let starting = DispatchQueue(label: "runner.workers", qos: .userInitiated)
    /// Workers started and ended, for tests and metrics.
    let started = Atomic<Int>(0)

    init(_ setting: Setting, watch: ProcessWatch, lifeline: Lifeline, logger: Logger) {
        self.setting = setting
        self.watch = watch
        self.lifeline = lifeline
        self.logger = logger
        // Of an earlier life; the workers end with it.
        try? FileManager.default.removeItem(atPath: setting.directory)
    }

    /// Has a worker do the job.
    ///
    /// - Parameters:
    ///   - became: called with the descriptor of the worker's supervisor before the job is sent; SIGTERM to it cancels.
    ///   - ceased: called before that descriptor is closed or used for another job.
    func perform(
        _ task: WorkerMessage.Task, handler: Handler, rules: WorkerRules, gpus: [String],
        errorFile: WorkerConnection.ErrorFile, isCancelled: @Sendable () -> Bool,
        became: @Sendable (Int32) -> Void, ceased: @Sendable () -> Void
    ) async -> End {
        let kind = Kind(handler: handler.name, jobClass: task.job.jobClass, gpus: gpus)
        let worker: Worker
        switch await ready(kind, handler, rules) {
        case .success(let ready): worker = ready
        case .failure(let refusal): return .notReady(refusal.reason)
        }
        let message = WorkerMessage.task(task)
        guard message.count - 4 <= worker.connection.mostBytes else {
            rest(worker, handler, rules)
            return .notReady(
                "the job's payload does not fit one message of handler \(handler.name.asJSON), which takes "
                    + "\(worker.connection.mostBytes) bytes; put large data into a file")
        }
        // It need not pay with its life for a job that nobody waits for.
        if isCancelled() {
            rest(worker, handler, rules)
            return .cancelled
        }
        became(worker.process.descriptor)
        // From here on: a start that takes longer than the job may would otherwise be repeated for every job.
        let deadline = ContinuousClock.now.advanced(by: task.timeout)
        let answer = await worker.connection.exchange(message, until: deadline, errorFile: errorFile)
        let wasCancelled = isCancelled()
        ceased()
        let (id, attempt) = (task.job.id, task.job.attempt)
        switch answer {
        case .reply where wasCancelled:
            _ = await end(worker)
            return .cancelled
        case .reply(.value(id, attempt, let json)):
            rest(worker, handler, rules)
            return .result(json)
        case .reply(.error(id, attempt, let words, let json)):
            rest(worker, handler, rules)
            return .failure(words, json)
        case .reply(.fatal(let words)):
            _ = await end(worker)
            return .malformed("it gave up: \(words)")
        case .reply:
            _ = await end(worker)
            return .malformed("an answer to something else than its job")
        case .malformed(let reason):
            _ = await end(worker)
            return .malformed(reason)
        case .timedOut:
            _ = await end(worker)
            return .timedOut
        case .ended:
            let record = await end(worker)
            return wasCancelled ? .cancelled : .died(record, errorTail: worker.connection.errorTail)
        }
    }

    /// Ends what is idle; what works ends when it has done.
    func close() async {
        let idle = state.withLock { state in
            state.isClosed = true
            defer { state.idle = [:] }
            return state.idle.values.flatMap { $0 }
        }
        await withDiscardingTaskGroup { group in
            for worker in idle { group.addTask { _ = await self.end(worker, gently: true) } }
        }
    }

    // MARK: - Starting

    private struct Refusal: Error {
        var reason: String
    }

    private func ready(_ kind: Kind, _ handler: Handler, _ rules: WorkerRules) async -> Result<Worker, Refusal> {
        while let idle = state.withLock({ $0.idle[kind]?.popLast() }) {
            if !idle.connection.isStale {
                idle.connection.forgetErrors()
                return .success(idle)
            }
            _ = await end(idle)
        }
        // A handler that can't start is not tried again and again.
        let clock = ContinuousClock()
        if let until = state.withLock({ $0.failures[handler.name]?.until }) { try? await clock.sleep(until: until) }
        let result = await launch(kind, handler, rules)
        state.withLock { state in
            switch result {
            case .success: state.failures[handler.name] = nil
            case .failure:
                let count = (state.failures[handler.name]?.count ?? 0) + 1
                let pause = min(Duration.milliseconds(100) * (1 << min(count - 1, 10)), .seconds(30))
                state.failures[handler.name] = (count, clock.now.advanced(by: pause))
            }
        }
        return result
    }

    private func launch(_ kind: Kind, _ handler: Handler, _ rules: WorkerRules) async -> Result<Worker, Refusal> {
        let spawned = await starting.run { [self] in
            Result { () throws(SystemError) in try spawn(kind, handler) }
        }
        let worker: Worker
        switch spawned {
        case .success(let spawned): worker = spawned
        case .failure(let error):
            return .failure(Refusal(reason: "the worker of handler \(handler.name.asJSON) can't be started: \(error)"))
        }
        started.add(1, ordering: .relaxed)
        let deadline = ContinuousClock.now.advanced(by: rules.startTimeout)
        let answer = await worker.connection.exchange([], until: deadline, errorFile: nil)
        if case .reply(.hello(let hello)) = answer {
            worker.state.withLock { state in
                state.pid = hello.pid
                state.residentWhenReady = Self.resident(hello.pid) ?? 0
            }
            worker.connection.forgetErrors()
            return .success(worker)
        }
        let record = await end(worker)
        let why: String
        switch answer {
        case .timedOut: why = "was not ready within \(AttemptEnd.seconds(rules.startTimeout))"
        case .malformed(let reason): why = "said, before it was ready, \(reason)"
        case .reply(.fatal(let words)): why = words
        case .reply: why = "did not say hello first"
        case .ended:
            let outcome = record.flatMap { record in
                AttemptEnd(
                    record: record, result: .none, errorTail: worker.connection.errorTail,
                    command: JobCommand(arguments: handler.command), timeout: rules.startTimeout,
                    path: setting.environment["PATH"] ?? ""
                ).outcome
            }
            why =
                outcome.map { $0.error.isEmpty ? "ended before it was ready" : $0.error } ?? "ended before it was ready"
        }
        return .failure(Refusal(reason: "the worker of handler \(handler.name.asJSON) could not start: \(why)"))
    }

    private func spawn(_ kind: Kind, _ handler: Handler) throws(SystemError) -> Worker {
        let number = state.withLock { state in
            state.lastNumber += 1
            return state.lastNumber
        }
        let directory = AttemptDirectory(worker: "\(setting.directory)/\(handler.name)-\(number)")
        for path in [setting.directory, directory.path, directory.work, directory.temporary] {
            try WholeFile.makeDirectories(path, mode: 0o700)
        }
        let lock = open(directory.lock, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard lock >= 0, flock(lock, LOCK_EX | LOCK_NB) == 0 else { throw SystemError("lock", directory.lock) }
        defer { Glibc.close(lock) }
        var environment = setting.environment
        environment.merge(handler.environment) { _, own in own }
        environment["DSPY_HANDLER"] = handler.name
        environment["DSPY_WORKER_PROTOCOL"] = "1"
        if !kind.gpus.isEmpty { environment["CUDA_VISIBLE_DEVICES"] = kind.gpus.joined(separator: ",") }
        var arguments = [
            "--dir", directory.path, "--cwd", handler.workingDirectory ?? directory.work, "--grace-ms",
            String(max(1, setting.grace.nanoseconds / 1_000_000)),
        ]
        let limits = setting.limits[kind.jobClass] ?? .none
        arguments += limits.arguments(softOpenFiles: setting.openFiles) + setting.cgroups.arguments(for: limits)
        if let sandbox = setting.sandboxes[kind.jobClass] {
            environment["TMPDIR"] = directory.temporary
            arguments += sandbox.arguments(directory, kind.jobClass)
        }
        let (connection, ends) = try WorkerConnection.make()
        defer { ends.close() }
        let process = try SupervisorProcess.start(
            program: setting.supervisor, arguments: arguments + ["--"] + handler.command, environment: environment,
            lock: lock, lifeline: lifeline.descriptor, stdio: ends.stdio)
        return Worker(kind, directory.path, process, connection)
    }

    // MARK: - Resting and ending

    private func rest(_ worker: Worker, _ handler: Handler, _ rules: WorkerRules) {
        let (tasks, growth, isTimed) = worker.state.withLock { state -> (Int, UInt64, Bool) in
            state.tasks += 1
            state.idleSince = .now
            defer { state.isTimed = true }
            let resident = Self.resident(state.pid) ?? 0
            return (state.tasks, resident - min(resident, state.residentWhenReady), state.isTimed)
        }
        let isWorn = tasks >= rules.mostTasks || rules.mostGrowth.map { growth > $0 } ?? false
        let isKept = state.withLock { state in
            guard !isWorn, !state.isClosed else { return false }
            state.idle[worker.kind, default: []].append(worker)
            return true
        }
        guard isKept else {
            if isWorn {
                logger.debug(
                    "a worker is replaced",
                    metadata: ["handler": "\(handler.name)", "tasks": "\(tasks)", "growth_bytes": "\(growth)"])
            }
            Task { _ = await end(worker, gently: true) }
            return
        }
        if isTimed { return }
        // Weakly, as a sleep must keep neither alive.
        Task { [weak self, weak worker] in
            var pause = rules.idleTimeout
            while pause > .zero {
                try await Task.sleep(for: pause)
                guard let self, let worker else { return }
                pause = await retired(worker, rules.idleTimeout)
            }
        }
    }

    /// Ends a worker that has been idle for long; otherwise says how long to wait, and zero when it is no longer there.
    private func retired(_ worker: Worker, _ idleTimeout: Duration) async -> Duration {
        let left = ContinuousClock.now.duration(to: worker.state.withLock { $0.idleSince }.advanced(by: idleTimeout))
        if left > .zero { return left }
        let isIdle = state.withLock { state in
            guard let index = state.idle[worker.kind]?.firstIndex(where: { $0 === worker }) else { return false }
            state.idle[worker.kind]?.remove(at: index)
            return true
        }
        // It works, or it is being ended.
        guard isIdle else { return idleTimeout }
        _ = await end(worker, gently: true)
        return .zero
    }

    /// Ends it, with all it started, and says how it ended.
    ///
    /// - Parameter gently: leaves it the grace to end by itself.
    private func end(_ worker: Worker, gently: Bool = false) async -> ExitRecord? {
        await Self.end(worker, after: gently ? setting.grace : .zero, watch, starting)
    }

    private static func end(
        _ worker: Worker, after grace: Duration, _ watch: ProcessWatch, _ queue: DispatchQueue
    ) async -> ExitRecord? {
        let isThere = Mutex(true)
        worker.connection.closeInput()
        let push = Task {
            if grace > .zero { try await Task.sleep(for: grace) }
            // The descriptor is closed only after this can no longer use it.
            isThere.withLock { if $0 { _ = clinux_pidfd_send_signal(worker.process.descriptor, SIGTERM) } }
        }
        await watch.end(of: worker.process.descriptor)
        isThere.withLock { $0 = false }
        push.cancel()
        return await queue.run {
            _ = SupervisorProcess.reap(worker.process.pid)
            Glibc.close(worker.process.descriptor)
            worker.connection.drain()
            let record = (try? WholeFile.read(worker.directory + "/exit", limit: 4096)).flatMap {
                ExitRecord(parsing: $0)
            }
            try? FileManager.default.removeItem(atPath: worker.directory)
            return record
        }
    }

    /// Nobody has anything for them any more, and somebody must reap them.
    deinit {
        let idle = state.withLock { $0.idle.values.flatMap { $0 } }
        guard !idle.isEmpty else { return }
        let (watch, queue) = (watch, starting)
        Task.detached {
            for worker in idle { _ = await Self.end(worker, after: .zero, watch, queue) }
        }
    }

    /// Bytes in memory (proc_pid_statm(5)).
    private static func resident(_ pid: Int32) -> UInt64? {
        guard pid > 0, let text = try? WholeFile.read("/proc/\(pid)/statm", limit: 256) else { return nil }
        let pages = String(decoding: text, as: UTF8.self).split(separator: " ").dropFirst().first.flatMap { UInt64($0) }
        return pages.map { $0 * UInt64(sysconf(Int32(_SC_PAGESIZE))) }
    }
}
