import Dispatch
import Synchronization

/// One caller's request to the writer, with the way back.
enum LedgerRequest: Sendable {
    case submit(JobSpec, CheckedContinuation<Submission, any Error>)
    case submitMany([JobSpec], CheckedContinuation<[Result<Submission, OrchestratorError>], Never>)
    case change(String, JobMachine.Command, CheckedContinuation<Job, any Error>)

    /// Jobs it may write.
    var weight: Int {
        if case .submitMany(let specs, _) = self { specs.count } else { 1 }
    }
}

/// What waits for the writer. A push is one short lock, and one wake-up when the writer sleeps; everything that gathers
/// while it commits becomes the next batch.
final class CommandQueue: Sendable {
    private struct State {
        var requests: [LedgerRequest] = []
        var submissions = 0
        var cursors: [String: UInt64] = [:]
        var isAsleep = false
        var isClosed = false
    }

    struct Work {
        var requests: [LedgerRequest]
        var cursors: [String: UInt64]
    }

    enum Refusal { case closed, full }

    private let state = Mutex(State())
    private let wake = DispatchSemaphore(value: 0)
    private let limit: Int

    init(limit: Int) { self.limit = limit }

    /// nil: the writer has it, and will answer. Submissions are refused when too many wait; reports on jobs that are
    /// there already never are.
    func push(_ request: LedgerRequest) -> Refusal? {
        var submissions = 0
        if case .change = request {} else { submissions = request.weight }
        let (refusal, mustWake) = state.withLock { state -> (Refusal?, Bool) in
            if state.isClosed { return (.closed, false) }
            // One that is larger than the limit alone is taken when nothing else waits.
            if submissions > 0, state.submissions > 0, state.submissions + submissions > limit { return (.full, false) }
            state.submissions += submissions
            state.requests.append(request)
            return (nil, Self.rouse(&state))
        }
        if mustWake { wake.signal() }
        return refusal
    }

    /// Rides on the next commit, or has one of its own within a second.
    func saveCursor(_ name: String, _ sequence: UInt64) {
        let mustWake = state.withLock { state in
            let isFirst = state.cursors.isEmpty
            state.cursors[name] = sequence
            return isFirst && Self.rouse(&state)
        }
        if mustWake { wake.signal() }
    }

    /// Takes no more; what is there is still handed out.
    func close() {
        let mustWake = state.withLock { state in
            state.isClosed = true
            return Self.rouse(&state)
        }
        if mustWake { wake.signal() }
    }

    private static func rouse(_ state: inout State) -> Bool {
        defer { state.isAsleep = false }
        return state.isAsleep
    }

    /// For the writer: everything that waits, or, after `close`, nil.
    func take() -> Work? {
        var cursorsAreDue = false
        while true {
            enum Step { case work(Work), end, sleep, sleepForCursors }
            let step = state.withLock { state -> Step in
                if !state.requests.isEmpty || state.isClosed || (cursorsAreDue && !state.cursors.isEmpty) {
                    if state.requests.isEmpty && state.cursors.isEmpty { return .end }
                    let work = Work(requests: state.requests, cursors: state.cursors)
                    state.requests = []
                    state.submissions = 0
                    state.cursors = [:]
                    return .work(work)
                }
                state.isAsleep = true
                return state.cursors.isEmpty ? .sleep : .sleepForCursors
            }
            switch step {
            case .work(let work): return work
            case .end: return nil
            case .sleep: wake.wait()
            case .sleepForCursors: cursorsAreDue = wake.wait(timeout: .now() + 1) == .timedOut
            }
        }
    }

    /// After a commit that failed: cursors to be tried again, unless newer ones have come.
    func giveBack(_ cursors: [String: UInt64]) {
        state.withLock { state in
            if state.isClosed { return }
            state.cursors.merge(cursors) { newer, _ in newer }
        }
    }
}
