/// What became of a task of the file queue that this server had claimed.
enum TaskReport: Sendable, Equatable {
    /// Another server took it over.
    case takenOver
    /// That one has left its done file.
    case ended(TaskEnd)
    /// That one has put it into `failed/`, for this reason.
    case refused(String)
    /// Nobody has had it for so long.
    case vanished(Duration)
}

/// How a job ended at another server, from its done file.
struct TaskEnd: Sendable, Equatable {
    /// One of the three ends.
    var state: JobState
    var outcome: AttemptOutcome
    /// As the other one counts; 0 when none has started.
    var attempt: UInt32 = 0
    /// Of the last attempt; nil when none has started.
    var duration: Duration?
    /// By the other one's clock.
    var endedAt: Timestamp?
}
