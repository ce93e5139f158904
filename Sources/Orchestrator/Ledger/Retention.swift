/// How much history is kept. What is older goes first. Open jobs, and the newest event, are kept whatever the limits.
public struct Retention: Sendable, Equatable {
    /// nil is no limit.
    public struct Limit: Sendable, Equatable {
        public var age: Duration?
        public var count: Int?

        public init(age: Duration? = nil, count: Int? = nil) {
            self.age = age
            self.count = count
        }
    }

    /// Ended jobs, by the time of their end. One that an open job depends on is kept.
    public var jobs: Limit
    public var events: Limit
    /// Of jobs and events in the database together, without the write-ahead log. nil is no limit. While the other limits
    /// wait for sinks that have not taken an event yet, this one waits for nobody.
    public var ledgerBytes: Int64?
    /// The directories of ended jobs' attempts: their output and what they left in their working directory.
    public var outputs: Limit
    public var outputBytes: Int64?

    public init(
        jobs: Limit = Limit(), events: Limit = Limit(), ledgerBytes: Int64? = nil, outputs: Limit = Limit(),
        outputBytes: Int64? = nil
    ) {
        self.jobs = jobs
        self.events = events
        self.ledgerBytes = ledgerBytes
        self.outputs = outputs
        self.outputBytes = outputBytes
    }

    public static let everything = Retention()

    /// A server's: a month of jobs and events, two weeks of output, and bounds for a disk of an ordinary size.
    public static let standard = Retention(
        jobs: Limit(age: .seconds(30 * 86_400), count: 1_000_000),
        events: Limit(age: .seconds(30 * 86_400), count: 10_000_000), ledgerBytes: 10 << 30,
        outputs: Limit(age: .seconds(14 * 86_400), count: 100_000), outputBytes: 20 << 30)
}

/// What there is of history, for metrics.
public struct HistorySize: Sendable, Equatable {
    public var endedJobs = 0
    /// Ended jobs whose attempts' directories are kept.
    public var outputs = 0
    public var outputBytes: Int64 = 0
}
