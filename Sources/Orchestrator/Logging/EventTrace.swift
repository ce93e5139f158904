import Logging

/// Each event as a log line, at debug: type, job, trace, attempt; no data, which may be anybody's.
public struct EventTrace: Sendable {
    private let logger: Logger

    public init(logger: Logger) { self.logger = logger }

    /// Logs what the ledger commits from now on.
    public func follow(_ ledger: Ledger) {
        guard logger.logLevel <= .debug else { return }
        ledger.observe { [self] in observe($0) }
    }

    func observe(_ batch: CommittedBatch) {
        batch.forEachEvent { event, change in
            var metadata: Logger.Metadata =
                if let job = change?.job { .job(job) } else if event.jobID.isEmpty { [:] } else {
                    ["job_id": "\(event.jobID)"]
                }
            metadata["sequence"] = "\(event.sequence)"
            metadata["type"] = "\(event.type.rawValue)"
            if event.attempt > 0 { metadata["attempt"] = "\(event.attempt)" }
            logger.debug("event", metadata: metadata)
        }
    }
}
