/// The numbers of `GET /queue/status`.
public struct QueueCounts: Sendable, Equatable {
    /// Files not claimed yet, and jobs that wait for their turn.
    public var pending: Int
    public var running: Int
    /// Jobs that ended, in whatever way.
    public var done: Int
    /// Jobs that failed, and files that were refused.
    public var failed: Int
    /// Jobs accepted, ever.
    public var submitted: Int
    /// The same as `done`.
    public var processed: Int
    /// Jobs that succeeded.
    public var completed: Int

    public init(totals: [JobState: Int], pendingFiles: Int = 0, refusedFiles: Int = 0) {
        func jobs(_ states: JobState...) -> Int { states.reduce(0) { $0 + (totals[$1] ?? 0) } }
        pending = jobs(.queued, .submitted) + pendingFiles
        running = jobs(.running)
        done = jobs(.succeeded, .failed, .cancelled)
        failed = jobs(.failed) + refusedFiles
        submitted = totals.values.reduce(0, +)
        processed = done
        completed = jobs(.succeeded)
    }
}
