import Foundation

/// What the ledger keeps of a batch job: that of the newest attempt of a gpu_slurm job.
public struct SlurmFacts: Sendable, Equatable, Codable {
    /// Its name in Slurm, of no other submission of any server: by it a submission of unknown outcome is found again.
    public var name: String
    /// From the intent to submit until the attempt's end.
    public var isOpen: Bool
    /// Slurm's word for the state it was last seen in; empty until it was seen.
    public var state: String
    /// Nanoseconds since 1970, as are the other moments: of the intent, Slurm's acceptance, and the newest run.
    public var intendedAt: Int64
    public var acceptedAt: Int64?
    public var startedAt: Int64?
    public var endedAt: Int64?
    /// Times that Slurm put it back into its queue.
    public var restarts: UInt32
    /// In Slurm's notation, `n[1-2]`; empty until it ran.
    public var nodes: String
    /// Seconds from start to end of the last run.
    public var elapsedSeconds: Double?
    /// The largest of any of its steps, when accounting knows.
    public var maxRSSBytes: Int64?
    /// From the intent to put it back into Slurm's queue until it is there, or is known not to be.
    public var requeue: Requeue?

    public struct Requeue: Sendable, Equatable, Codable {
        /// The run to be given up, as runs are counted by `restarts`.
        public var run: UInt32
        /// Somebody's words.
        public var reason: String
    }

    public init(name: String, intendedAt: Timestamp) {
        self.name = name
        self.isOpen = true
        self.state = ""
        self.intendedAt = intendedAt.nanoseconds
        self.restarts = 0
        self.nodes = ""
    }

    /// For its column in the ledger.
    var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        // Only a floating-point number that is none could fail, and there is none here.
        return (try? encoder.encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
    }

    init(json: String) throws {
        self = try JSONDecoder().decode(SlurmFacts.self, from: Data(json.utf8))
    }
}

/// What the Slurm bridge tells the ledger of one attempt.
public enum SlurmReport: Sendable, Equatable {
    /// It is about to be submitted under this name: written down first, so that no crash can lose or double it.
    case intended(name: String)
    /// Slurm took it.
    case accepted(slurmJobID: String)
    case started(nodes: String, at: Timestamp?, restarts: UInt32)
    /// Slurm put it back into its queue, as after a preemption; `state` is Slurm's word, `reason` that of somebody here who
    /// asked for it.
    case requeued(state: String, restarts: UInt32, reason: String = "")
    /// Slurm is about to be asked to put it back into its queue: written down first, so that what the run leaves is not
    /// taken for the job's end after a crash.
    case requeueIntended(SlurmFacts.Requeue)
    /// Slurm did not.
    case requeueRefused
    /// Slurm shows it in this state, and nothing else about it changed.
    case observed(state: String)
    case ended(AttemptOutcome, SlurmEnding)
    /// What accounting said after the end; the only report that an ended job takes.
    case measured(elapsedSeconds: Double?, maxRSSBytes: Int64?)
}

/// How a batch job ended, besides what every attempt's end has.
public struct SlurmEnding: Sendable, Equatable {
    /// Slurm's word; empty when there was no batch job, or nobody knows.
    public var state: String
    public var nodes: String
    public var startedAt: Timestamp?
    public var endedAt: Timestamp?
    /// Set when somebody cancelled it in Slurm itself: one line that says so.
    public var cancelledThere: String?

    public init(
        state: String = "", nodes: String = "", startedAt: Timestamp? = nil, endedAt: Timestamp? = nil,
        cancelledThere: String? = nil
    ) {
        self.state = state
        self.nodes = nodes
        self.startedAt = startedAt
        self.endedAt = endedAt
        self.cancelledThere = cancelledThere
    }
}
