@testable import Orchestrator

/// What can be done to a ledger. Each is possible at any time: what makes no sense is refused.
enum LedgerOperation: CustomStringConvertible, Sendable {
    struct Submission: Sendable {
        var id: String
        var parents: [String]
        var deadline: Int64?
        var attempts: UInt32
    }

    case submit(Submission)
    case batch([Submission])
    case start(String)
    /// `lag`: how many attempts ago the report's was.
    case finish(String, lag: UInt32, failure: FailureReason?)
    case release(String)
    case cancel(String)
    case advance(Int64)
    case reopen

    var description: String {
        switch self {
        case .submit(let one): Self.text(one)
        case .batch(let many): "batch [\(many.map(Self.text).joined(separator: ", "))]"
        case .start(let id): "start \(id)"
        case .finish(let id, let lag, let failure): "finish \(id) lag \(lag) \(failure?.word ?? "well")"
        case .release(let id): "release \(id)"
        case .cancel(let id): "cancel \(id)"
        case .advance(let seconds): "advance \(seconds)"
        case .reopen: "reopen"
        }
    }

    private static func text(_ one: Submission) -> String {
        "submit \(one.id) after \(one.parents) deadline \(one.deadline.map { "\($0)" } ?? "-") attempts \(one.attempts)"
    }

    static func random(_ count: Int, using random: inout SeededRandom) -> [LedgerOperation] {
        func id() -> String { "j\(Int.random(in: 0..<14, using: &random))" }
        func submission(_ id: String, among others: [String]) -> Submission {
            let parents = (0..<(Bool.random(using: &random) ? 0 : 2)).compactMap { _ in
                others.randomElement(using: &random)
            }
            return Submission(
                id: id, parents: Set(parents).subtracting([id]).sorted(),
                deadline: Int.random(in: 0..<4, using: &random) == 0 ? .random(in: 1...9, using: &random) : nil,
                attempts: .random(in: 0...3, using: &random))
        }
        let all = (0..<14).map { "j\($0)" }
        return (0..<count).map { _ in
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<18: return .submit(submission(id(), among: all))
            case 18..<26:
                let ids = Array(all.shuffled(using: &random).prefix(5))
                return .batch(ids.map { submission($0, among: ids + [id()]) })
            case 26..<56: return .start(id())
            case 56..<80:
                let failure: FailureReason? =
                    [nil, nil, .exitCode, .submitRejected].randomElement(using: &random) ?? nil
                let lag: UInt32 = Int.random(in: 0..<8, using: &random) == 0 ? 1 : 0
                return .finish(id(), lag: lag, failure: failure)
            case 80..<84: return .release(id())
            case 84..<91: return .cancel(id())
            case 91..<97: return .advance(.random(in: 1...4, using: &random))
            default: return .reopen
            }
        }
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
        var number: Int
        var state = JobState.queued
        var attempt: UInt32 = 0
        var unstarted: UInt32 = 0
        var reason: FailureReason?
        var isCancelled = false
        var isExpired = false
        var finishedAt: Int64?
    }

    let keptJobs: Int
    let keptEvents: Int
    var jobs: [String: Entry] = [:]
    var time: Int64 = 0
    var lastSequence = 0
    var oldestSequence = 1

    // MARK: Operations; each says whether it is taken

    mutating func apply(_ operation: LedgerOperation) -> [Bool] {
        switch operation {
        case .submit(let one): [submit(one)]
        case .batch(let many): batch(many)
        case .start(let id): [start(id)]
        case .finish(let id, let lag, let failure): [finish(id, lag, failure)]
        case .release(let id): [release(id)]
        case .cancel(let id): [cancel(id)]
        case .advance(let seconds): advance(seconds)
        case .reopen: [true]
        }
    }

    private static func content(_ one: LedgerOperation.Submission) -> [String] {
        ["\(one.parents)", "\(one.deadline ?? 0)", "\(one.attempts)"]
    }

    private mutating func submit(_ one: LedgerOperation.Submission) -> Bool {
        if let existing = jobs[one.id] { return existing.submission == Self.content(one) }
        guard one.parents.allSatisfy({ jobs[$0] != nil }) else { return false }
        lastSequence += 1
        jobs[one.id] = Entry(
            submission: Self.content(one), parents: one.parents, deadline: one.deadline.map { time + $0 },
            attempts: one.attempts, number: lastSequence)
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
        guard var job = jobs[id], job.state == .queued, openParents(job) == 0 else { return false }
        job.state = .running
        job.attempt += 1
        lastSequence += 1
        jobs[id] = job
        return true
    }

    private mutating func finish(_ id: String, _ lag: UInt32, _ failure: FailureReason?) -> Bool {
        guard let job = jobs[id] else { return false }
        guard job.state == .running, lag == 0 else { return true }
        let ran = job.attempt - job.unstarted
        if job.isCancelled {
            end(id, .cancelled, nil)
        } else if job.isExpired {
            end(id, .failed, .timeout)
        } else if let failure, failure != .submitRejected, ran < job.attempts {
            jobs[id]?.state = .queued
            jobs[id]?.reason = failure
            lastSequence += 1
        } else {
            end(id, failure == nil ? .succeeded : .failed, failure)
        }
        return true
    }

    private mutating func release(_ id: String) -> Bool {
        guard let job = jobs[id] else { return false }
        guard job.state == .running else { return true }
        jobs[id]?.unstarted += 1
        if job.isCancelled {
            end(id, .cancelled, nil)
        } else if job.isExpired {
            end(id, .failed, .timeout)
        } else {
            jobs[id]?.state = .queued
            lastSequence += 1
        }
        return true
    }

    private mutating func cancel(_ id: String) -> Bool {
        guard let job = jobs[id] else { return false }
        if job.state == .queued { end(id, .cancelled, nil) }
        if job.state == .running { jobs[id]?.isCancelled = true }
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
        lastSequence += 1
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
