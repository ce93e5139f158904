@testable import Orchestrator

/// What can be done to a ledger. Each is possible at any time: what makes no sense is refused.
enum LedgerOperation: CustomStringConvertible, Sendable {
    struct Submission: Sendable {
        var id: String
        var parents: [String]
        var deadline: Int64?
        var attempts: UInt32
        /// Empty is what is retried by default.
        var retryOn: [FailureReason] = []
    }

    case submit(Submission)
    case batch([Submission])
    case start(String)
    /// `lag`: how many attempts ago the report's was.
    case finish(String, lag: UInt32, failure: FailureReason?)
    case release(String)
    case cancel(String)
    /// Another server has taken its task over.
    case takenOver(String)
    /// What became of it there; nil is that nobody has it.
    case endedElsewhere(String, JobState?)
    /// Its task is claimed here again.
    case comesBack(String)
    /// An agent's event; without an id, and about no job, where empty.
    case publish(String, job: String, data: Int)
    case advance(Int64)
    case reopen
    /// The process is killed, and another finds what was on the disk.
    case crash

    var description: String {
        switch self {
        case .submit(let one): Self.text(one)
        case .batch(let many): "batch [\(many.map(Self.text).joined(separator: ", "))]"
        case .start(let id): "start \(id)"
        case .finish(let id, let lag, let failure): "finish \(id) lag \(lag) \(failure?.word ?? "well")"
        case .release(let id): "release \(id)"
        case .cancel(let id): "cancel \(id)"
        case .takenOver(let id): "take over \(id)"
        case .endedElsewhere(let id, let state): "\(id) elsewhere: \(state?.word ?? "nowhere")"
        case .comesBack(let id): "\(id) comes back"
        case .publish(let id, let job, let data): "publish \(id) about \(job) data \(data)"
        case .advance(let seconds): "advance \(seconds)"
        case .reopen: "reopen"
        case .crash: "crash"
        }
    }

    private static func text(_ one: Submission) -> String {
        "submit \(one.id) after \(one.parents) deadline \(one.deadline.map { "\($0)" } ?? "-") attempts \(one.attempts) "
            + "on \(one.retryOn.map(\.word))"
    }

    /// Few, so that most operations find a job to work on, and ids are used again once their jobs are gone.
    static let names = (0..<9).map { "j\($0)" }

    static func random(_ count: Int, using random: inout SeededRandom) -> [LedgerOperation] {
        func id() -> String { names.randomElement(using: &random) ?? "" }
        func submission(_ id: String, among others: [String]) -> Submission {
            let parents = (0..<(Bool.random(using: &random) ? 0 : 2)).compactMap { _ in
                others.randomElement(using: &random)
            }
            return Submission(
                id: id, parents: Set(parents).subtracting([id]).sorted(),
                deadline: Int.random(in: 0..<4, using: &random) == 0 ? .random(in: 1...9, using: &random) : nil,
                attempts: .random(in: 0...3, using: &random),
                retryOn: Int.random(in: 0..<3, using: &random) == 0 ? [.exitCode, .outOfMemory] : [])
        }
        /// Several attempts of one job, which chance alone rarely brings about.
        func attempts(_ id: String) -> [LedgerOperation] {
            (0..<Int.random(in: 2...4, using: &random)).flatMap { _ -> [LedgerOperation] in
                let failure = Bool.random(using: &random) ? FailureReason.exitCode : .lost
                let end: LedgerOperation =
                    Int.random(in: 0..<3, using: &random) == 0
                    ? .release(id) : .finish(id, lag: 0, failure: failure)
                return [.start(id), end]
            }
        }
        /// A job's way to another server, and perhaps back.
        func journey(_ id: String) -> [LedgerOperation] {
            let ways: [LedgerOperation] = [
                .start(id), .takenOver(id), .comesBack(id), .finish(id, lag: 0, failure: .signal), .release(id),
                .cancel(id), .endedElsewhere(id, .succeeded), .endedElsewhere(id, nil),
            ]
            return [.start(id), .takenOver(id)]
                + (0..<Int.random(in: 1...4, using: &random)).compactMap { _ in ways.randomElement(using: &random) }
        }
        func one() -> LedgerOperation {
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<18: return .submit(submission(id(), among: names))
            case 18..<26:
                let ids = Array(names.shuffled(using: &random).prefix(5))
                return .batch(ids.map { submission($0, among: ids + [id()]) })
            case 26..<52: return .start(id())
            case 52..<72:
                let failure: FailureReason? =
                    [nil, nil, .exitCode, .lost, .submitRejected].randomElement(using: &random) ?? nil
                let lag: UInt32 = Int.random(in: 0..<8, using: &random) == 0 ? 1 : 0
                return .finish(id(), lag: lag, failure: failure)
            case 72..<79: return .release(id())
            case 79..<85: return .cancel(id())
            case 85..<89:
                let id = id()
                return [.takenOver(id), .takenOver(id), .comesBack(id)].randomElement(using: &random) ?? .comesBack(id)
            case 89..<91:
                let states: [JobState?] = [.succeeded, .failed, .cancelled, nil]
                return .endedElsewhere(id(), states.randomElement(using: &random) ?? nil)
            case 91..<93:
                let name = Bool.random(using: &random) ? "e\(Int.random(in: 0..<3, using: &random))" : ""
                return .publish(
                    name, job: Int.random(in: 0..<4, using: &random) == 0 ? id() : "",
                    data: .random(in: 0..<2, using: &random))
            case 93..<96: return .advance(.random(in: 1...4, using: &random))
            case 96..<98: return .crash
            default: return .reopen
            }
        }
        var operations: [LedgerOperation] = []
        while operations.count < count {
            switch Int.random(in: 0..<40, using: &random) {
            case 0, 1: operations += attempts(id())
            case 2: operations += [.takenOver(id()), one(), one()]
            case 3: operations += journey(id())
            default: operations.append(one())
            }
        }
        return operations
    }
}

/// A ledger as simple as it can be said: no batches, no disk, no indexes. Retention keeps `keptJobs` ended jobs and
/// `keptEvents` events.
struct LedgerModel {
    struct Entry: Equatable {
        var submission: [String]
        var parents: [String]
        var deadline: Int64?
        var attempts: UInt32
        var retryOn: [FailureReason]
        var number: Int
        var state = JobState.queued
        var attempt: UInt32 = 0
        var unstarted: UInt32 = 0
        var reason: FailureReason?
        var isCancelled = false
        var isExpired = false
        var claim = TaskClaim.here
        var finishedAt: Int64?
    }

    let keptJobs: Int
    let keptEvents: Int
    var jobs: [String: Entry] = [:]
    var time: Int64 = 0
    var lastSequence = 0
    var oldestSequence = 1
    /// Events since the last look.
    var news: [Happening] = []
    /// By their ids.
    var published: [String: (content: String, sequence: Int)] = [:]

    /// An event, but for its place: what follows from one operation may come in any order among the jobs.
    struct Happening: Equatable, CustomStringConvertible {
        var jobID: String
        var type: String
        var attempt: UInt32
        var state: JobState?

        var description: String { "\(type) of \(jobID) \(attempt) \(state?.word ?? "")" }
    }

    // MARK: Operations; each says whether it is taken

    mutating func apply(_ operation: LedgerOperation) -> [Bool] {
        switch operation {
        case .submit(let one): [submit(one)]
        case .batch(let many): batch(many)
        case .start(let id): [start(id)]
        case .finish(let id, let lag, let failure): [finish(id, lag, failure)]
        case .release(let id): [release(id)]
        case .cancel(let id): [cancel(id)]
        case .takenOver(let id): [takenOver(id)]
        case .endedElsewhere(let id, let state): [endedElsewhere(id, state)]
        case .comesBack(let id): [comesBack(id)]
        case .advance(let seconds): advance(seconds)
        case .publish(let id, let job, let data): [publish(id, job, data)]
        case .reopen, .crash: [true]
        }
    }

    private mutating func happens(_ type: EventType, to id: String) {
        lastSequence += 1
        news.append(
            Happening(
                jobID: id, type: type.rawValue, attempt: jobs[id]?.attempt ?? 0, state: jobs[id]?.state))
    }

    private static func content(_ one: LedgerOperation.Submission) -> [String] {
        ["\(one.parents)", "\(one.deadline ?? 0)", "\(one.attempts)", "\(one.retryOn)"]
    }

    private mutating func submit(_ one: LedgerOperation.Submission) -> Bool {
        if let existing = jobs[one.id] { return existing.submission == Self.content(one) }
        guard one.parents.allSatisfy({ jobs[$0] != nil }) else { return false }
        jobs[one.id] = Entry(
            submission: Self.content(one), parents: one.parents, deadline: one.deadline.map { time + $0 },
            attempts: one.attempts, retryOn: one.retryOn, number: lastSequence + 1)
        happens(.taskSubmitted, to: one.id)
        return true
    }

    private mutating func batch(_ many: [LedgerOperation.Submission]) -> [Bool] {
        var verdicts: [String: Bool] = [:]
        while let next = many.first(where: { one in
            verdicts[one.id] == nil
                && one.parents.allSatisfy { parent in !many.contains { $0.id == parent } || verdicts[parent] != nil }
        }) {
            verdicts[next.id] = next.parents.allSatisfy { verdicts[$0] ?? true } && submit(next)
        }
        return many.map { verdicts[$0.id] ?? false }
    }

    func openParents(_ entry: Entry) -> Int {
        entry.state.isTerminal ? 0 : entry.parents.count { jobs[$0]?.state != .succeeded }
    }

    private mutating func start(_ id: String) -> Bool {
        guard var job = jobs[id], job.state == .queued, openParents(job) == 0, job.claim == .here else {
            return false
        }
        job.state = .running
        job.attempt += 1
        jobs[id] = job
        happens(.taskStarted, to: id)
        return true
    }

    private mutating func finish(_ id: String, _ lag: UInt32, _ failure: FailureReason?) -> Bool {
        guard let job = jobs[id] else { return false }
        guard job.state == .running, lag == 0 else { return true }
        if job.claim != .here { return stopped(id) }
        let ran = job.attempt - job.unstarted
        if job.isCancelled {
            end(id, .cancelled, nil)
        } else if job.isExpired {
            end(id, .failed, .timeout)
        } else if let failure, ran < job.attempts,
            job.retryOn.isEmpty ? failure != .submitRejected : job.retryOn.contains(failure)
        {
            jobs[id]?.state = .queued
            jobs[id]?.reason = failure
            happens(.taskRetrying, to: id)
        } else {
            end(id, failure == nil ? .succeeded : .failed, failure)
        }
        return true
    }

    private mutating func release(_ id: String) -> Bool {
        guard let job = jobs[id] else { return false }
        guard job.state == .running else { return true }
        if job.claim != .here { return stopped(id) }
        jobs[id]?.unstarted += 1
        if job.isCancelled {
            end(id, .cancelled, nil)
        } else if job.isExpired {
            end(id, .failed, .timeout)
        } else {
            jobs[id]?.state = .queued
            happens(.taskRetrying, to: id)
        }
        return true
    }

    private mutating func publish(_ id: String, _ job: String, _ data: Int) -> Bool {
        let content = "\(job) \(data)"
        if !id.isEmpty, let known = published[id], known.sequence >= oldestSequence { return known.content == content }
        guard job.isEmpty || jobs[job] != nil else { return false }
        happens(EventType(rawValue: "agent.step"), to: job)
        if !id.isEmpty { published[id] = (content, lastSequence) }
        return true
    }

    private mutating func cancel(_ id: String) -> Bool {
        guard let job = jobs[id] else { return false }
        if !job.state.isTerminal { jobs[id]?.isCancelled = true }
        if job.state == .queued, job.claim == .here { end(id, .cancelled, nil) }
        return true
    }

    private mutating func takenOver(_ id: String) -> Bool {
        guard let job = jobs[id] else { return false }
        if !job.state.isTerminal { jobs[id]?.claim = .elsewhere }
        return true
    }

    private mutating func comesBack(_ id: String) -> Bool {
        guard let job = jobs[id], !job.state.isTerminal, job.claim == .elsewhere else { return true }
        jobs[id]?.claim = job.state == .queued ? .here : .returned
        if job.state == .queued, job.isCancelled { end(id, .cancelled, nil) }
        return true
    }

    private mutating func endedElsewhere(_ id: String, _ state: JobState?) -> Bool {
        guard let job = jobs[id] else { return false }
        guard job.state == .queued, job.claim == .elsewhere else { return true }
        if let state {
            jobs[id]?.attempt = 7
            if state == .cancelled { jobs[id]?.isCancelled = true }
            end(id, state, state == .failed ? .exitCode : nil)
        } else {
            end(id, job.isCancelled ? .cancelled : .failed, job.isCancelled ? nil : .lost)
        }
        return true
    }

    /// An attempt that nobody counts, as the task is or was another server's.
    private mutating func stopped(_ id: String) -> Bool {
        guard let job = jobs[id] else { return false }
        jobs[id]?.unstarted += 1
        if job.claim == .returned { jobs[id]?.claim = .here }
        if job.claim == .returned, job.isCancelled {
            end(id, .cancelled, nil)
        } else if job.isExpired || (job.deadline.map { $0 <= time } ?? false) {
            end(id, .failed, .timeout)
        } else {
            jobs[id]?.state = .queued
            happens(.taskRetrying, to: id)
        }
        return true
    }

    private mutating func advance(_ seconds: Int64) -> [Bool] {
        time += seconds
        for (id, job) in jobs where job.deadline.map({ $0 <= time }) ?? false {
            if job.state == .queued { end(id, .failed, .timeout) }
            if job.state == .running, !job.isCancelled { jobs[id]?.isExpired = true }
        }
        return [true]
    }

    private mutating func end(_ id: String, _ state: JobState, _ reason: FailureReason?) {
        jobs[id]?.state = state
        jobs[id]?.reason = reason
        jobs[id]?.finishedAt = time
        switch state {
        case .succeeded: happens(.taskCompleted, to: id)
        case .cancelled: happens(.taskCancelled, to: id)
        default: happens(.taskFailed, to: id)
        }
    }

    // MARK: What follows

    mutating func settle() {
        while let (id, _) = jobs.first(where: { entry in
            entry.value.state == .queued
                && entry.value.parents.contains { jobs[$0]?.state == .failed || jobs[$0]?.state == .cancelled }
        }) {
            end(id, .failed, .dependencyFailed)
        }
        oldestSequence = max(oldestSequence, lastSequence - keptEvents + 1)
        while dropJobs() {}
    }

    private mutating func dropJobs() -> Bool {
        let ended = jobs.filter { $0.value.state.isTerminal }
        let order = ended.sorted {
            ($0.value.finishedAt ?? 0, $0.value.number) < ($1.value.finishedAt ?? 0, $1.value.number)
        }
        let open = jobs.values.filter { !$0.state.isTerminal }
        let victims = order.prefix(max(0, ended.count - keptJobs)).filter { victim in
            !open.contains { $0.parents.contains(victim.key) }
        }
        for (id, _) in victims { jobs[id] = nil }
        return !victims.isEmpty
    }
}
