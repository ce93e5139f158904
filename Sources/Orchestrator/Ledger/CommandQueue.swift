import Dispatch
import Synchronization

/// One caller's request to the writer, with the way back. Replies are called on the writer's thread: they only pass on.
indirect enum LedgerRequest: Sendable {
    typealias Reply<Value> = @Sendable (Result<Value, OrchestratorError>) -> Void

    /// Checked by `SubmissionRules`. `isNew`: the ledger made its id, so that there can be no other job with it.
    case submit(JobSpec, isNew: Bool, Reply<Submission>)
    case submitMany([JobSpec], @Sendable ([Result<Submission, OrchestratorError>]) -> Void)
    case change(String, JobMachine.Command, Reply<Job>)
    /// Checked by `AgentEventRules`.
    case publish(AgentEvent, Reply<Publication>)
    /// The writer's own.
    case followUp(String, JobMachine.Command)
    /// Answered once the retention has nothing to drop.
    case sweep(CheckedContinuation<Void, Never>)

    /// Jobs it may write.
    var weight: Int {
        if case .submitMany(let specs, _) = self { specs.count } else { 1 }
    }

    fileprivate var submissions: Int {
        switch self {
        case .submit, .submitMany, .publish: weight
        case .change, .followUp, .sweep: 0
        }
    }
}

/// What waits for the writer. A push is one short lock, and one wake-up when the writer sleeps; everything that gathers
/// while it commits becomes the next batch.
final class CommandQueue: Sendable {
    private struct State {
        var requests: [LedgerRequest] = []
        var submissions = 0
        var cursors: [String: UInt64] = [:]
        /// When the cursors are written although there is nothing else to write.
        var cursorsDue: DispatchTime?
        var isNudged = false
        var isAsleep = false
        /// While it is asleep: when it looks again by itself.
        var sleepsUntil = DispatchTime.distantFuture
        /// Those who save cursors mostly do so again and again.
        var expectsCursors = false
        var isClosed = false
    }

    /// Perhaps empty: the time was up, or somebody nudged.
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
        let submissions = request.submissions
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
            state.cursors[name] = sequence
            guard state.cursorsDue == nil else { return false }
            let due = DispatchTime.now() + 1
            state.cursorsDue = due
            return due < state.sleepsUntil && Self.rouse(&state)
        }
        if mustWake { wake.signal() }
    }

    /// Has the writer look at what is due.
    func nudge() {
        let mustWake = state.withLock { state in
            state.isNudged = true
            return Self.rouse(&state)
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
    ///
    /// - Parameter pause: returns after it although nothing waits; nil is never.
    func take(within pause: Duration?) -> Work? {
        let end = pause.map { DispatchTime.now() + .nanoseconds(Int($0.nanoseconds)) }
        var isOver = false
        while true {
            enum Step { case work(Work), end, sleep(DispatchTime) }
            let step = state.withLock { state -> Step in
                let cursorsAreDue = state.cursorsDue.map { $0 <= .now() } ?? false
                if !state.requests.isEmpty || state.isClosed || cursorsAreDue {
                    if state.requests.isEmpty && state.cursors.isEmpty { return .end }
                    let work = Work(requests: state.requests, cursors: state.cursors)
                    if !state.cursors.isEmpty { state.expectsCursors = true }
                    state.requests = []
                    state.submissions = 0
                    state.cursors = [:]
                    state.cursorsDue = nil
                    return .work(work)
                }
                if isOver || state.isNudged {
                    state.isNudged = false
                    return .work(Work(requests: [], cursors: [:]))
                }
                state.isAsleep = true
                // The next cursor is due no sooner than that: whoever saves it need not wake the writer.
                let next = state.expectsCursors ? DispatchTime.now() + 1 : .distantFuture
                state.expectsCursors = false
                state.sleepsUntil = min(end ?? .distantFuture, state.cursorsDue ?? next)
                return .sleep(state.sleepsUntil)
            }
            switch step {
            case .work(let work): return work
            case .end: return nil
            case .sleep(let until):
                if wake.wait(timeout: until) == .timedOut { isOver = end.map { $0 <= .now() } ?? false }
            }
        }
    }

    /// After a commit that failed: cursors to be tried again, unless newer ones have come.
    func giveBack(_ cursors: [String: UInt64]) {
        if cursors.isEmpty { return }
        state.withLock { state in
            if state.isClosed { return }
            state.cursors.merge(cursors) { newer, _ in newer }
            state.cursorsDue = state.cursorsDue ?? .now() + 1
        }
    }
}
