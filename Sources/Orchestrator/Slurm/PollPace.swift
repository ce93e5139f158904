/// When to look at Slurm's queue next: soon while something is about to change, seldom while nothing happens, and ever
/// more seldom while it does not answer.
struct PollPace: Sendable {
    /// While jobs are there.
    let interval: Duration
    private var hotLooks = 0
    private var quietLooks = 0
    private var failures = 0

    init(interval: Duration) { self.interval = interval }

    /// Without jobs: only so that health and metrics know whether Slurm is there.
    static let idle = Duration.seconds(60)
    private static let longestOutage = Duration.seconds(30)
    private static let quickest = Duration.milliseconds(250)

    enum Look: Sendable, Equatable {
        case failed
        case read(jobs: Int, isHot: Bool, hasChanged: Bool)
    }

    /// - Parameter jitter: from 0 up to 1; ±20 %, so that many servers do not ask in step.
    mutating func wait(after look: Look, jitter: Double) -> Duration {
        let wait: Duration
        switch look {
        case .failed:
            failures += 1
            wait = min(.seconds(1) * (1 << min(failures - 1, 6)), Self.longestOutage)
        case .read(let jobs, let isHot, let hasChanged):
            failures = 0
            hotLooks = isHot ? (hasChanged ? 1 : hotLooks + 1) : 0
            quietLooks = hasChanged || isHot ? 0 : quietLooks + 1
            if jobs == 0 {
                wait = max(Self.idle, interval)
            } else if isHot {
                // What is about to change and does not is looked at less and less.
                wait = min(Self.quickest * (1 << min(max(hotLooks - 4, 0), 10)), interval)
            } else {
                wait = interval * (quietLooks < 12 ? 1 : quietLooks < 36 ? 2 : 6)
            }
        }
        return wait * (0.8 + 0.4 * jitter)
    }
}
