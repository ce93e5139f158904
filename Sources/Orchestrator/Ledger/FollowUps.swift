import DequeModule

/// What follows from the jobs' states without anybody asking for it: a job whose parents have all succeeded may start, one
/// with a failed parent fails, and one whose deadline has passed ends. Kept by the writer, made anew at each start.
struct FollowUps {
    /// A child that is to fail.
    struct FailedParent: Equatable {
        var child: String
        var parent: String
        var state: JobState
    }

    struct Command {
        var id: String
        var command: JobMachine.Command
    }

    /// A job that has one parent less to wait for.
    struct Release: Equatable {
        var id: String
        var openParents: Int
    }

    /// Jobs that wait for a job, by its id.
    private var children: [String: Set<String>] = [:]
    /// How many open jobs name a job as their parent, whether it has succeeded by now or not.
    private var dependents: [String: Int] = [:]
    /// By job, how many of its parents have not succeeded.
    private var waits: [String: Int] = [:]
    private var failed: Deque<FailedParent> = []
    private var deadlines = DeadlineQueue()

    /// Whether an open job depends on this one, which must therefore be kept: the next start asks how it ended.
    func isAwaited(_ id: String) -> Bool { dependents[id] != nil }

    /// At start, for each open job.
    mutating func opened(_ job: Job, parents: [String: JobState]) {
        if let deadline = job.deadline, !job.isExpired { deadlines.set(job.id, deadline) }
        for (parent, state) in parents {
            dependents[parent, default: 0] += 1
            if state == .succeeded { continue }
            waits[job.id, default: 0] += 1
            children[parent, default: []].insert(job.id)
            if state.isTerminal { failed.append(FailedParent(child: job.id, parent: parent, state: state)) }
        }
    }

    /// A batch is durable.
    mutating func committed(_ changes: [LedgerBatch.Change]) -> [Release] {
        var releases: [Release] = []
        for change in changes {
            let job = change.row.job
            if job.state.isTerminal {
                if change.oldState?.isTerminal != true { ended(job, &releases) }
            } else if change.oldState == nil {
                opened(job, parents: change.parents)
            } else if job.isExpired {
                deadlines.remove(job.id)
            }
        }
        return releases
    }

    private mutating func ended(_ job: Job, _ releases: inout [Release]) {
        deadlines.remove(job.id)
        for parent in job.spec.dependsOn {
            guard let left = dependents[parent].map({ $0 - 1 }) else { continue }
            dependents[parent] = left > 0 ? left : nil
        }
        if waits.removeValue(forKey: job.id) != nil {
            for parent in job.spec.dependsOn {
                children[parent]?.remove(job.id)
                if children[parent]?.isEmpty == true { children[parent] = nil }
            }
        }
        guard let waiting = children[job.id] else { return }
        if job.state == .succeeded {
            children[job.id] = nil
            for child in waiting {
                guard let left = waits[child].map({ $0 - 1 }) else { continue }
                waits[child] = left > 0 ? left : nil
                releases.append(Release(id: child, openParents: left))
            }
        } else {
            // They go once they have failed themselves.
            for child in waiting { failed.append(FailedParent(child: child, parent: job.id, state: job.state)) }
        }
    }

    /// What is to be done now; it is due until `done`.
    mutating func due(now: Timestamp, limit: Int) -> [Command] {
        let failures = failed.prefix(limit).map {
            Command(id: $0.child, command: .parentFailed($0.parent, $0.state))
        }
        return failures
            + deadlines.passed(by: now, limit: limit - failures.count).map { Command(id: $0, command: .expire) }
    }

    /// The commands that `due` gave were applied.
    mutating func done(_ commands: [Command]) {
        for command in commands {
            switch command.command {
            case .parentFailed: failed.removeFirst()
            default: deadlines.remove(command.id)
            }
        }
    }

    mutating func isDue(now: Timestamp) -> Bool { nextTime(now: now).map { $0 <= now } ?? false }

    /// nil when nothing will be due unless something happens; a time that has passed, when something is due.
    mutating func nextTime(now: Timestamp) -> Timestamp? { failed.isEmpty ? deadlines.nextTime : now }
}
