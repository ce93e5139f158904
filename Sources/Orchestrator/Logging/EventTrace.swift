import Logging

/// Each event as a log line, at debug: type, job, trace, attempt; no data, which may be anybody's.
public struct EventTrace: Sendable {
    private let logger: Logger

    public init(logger: Logger) { self.logger = logger }

    /// Logs what the ledger commits from now on.
    public func follow(_ ledger: Ledger) {
        guard logger.logLevel <= .debug else { return }
        ledger.observe { [self, weak ledger] batch in
            observe(batch) { ledger?.logMetadata(of: $0) ?? ["job_id": "\($0)"] }
        }
    }

    /// - Parameter metadata: of a job that the batch did not change, such as one that an agent tells of.
    func observe(_ batch: CommittedBatch, metadata: (_ jobID: String) -> Logger.Metadata) {
        batch.forEachEvent { event, change in
            var fields: Logger.Metadata =
                if let job = change?.job { .job(job) } else if event.jobID.isEmpty { [:] } else {
                    metadata(event.jobID)
                }
            fields["sequence"] = "\(event.sequence)"
            fields["type"] = "\(event.type.rawValue)"
            if event.attempt > 0 { fields["attempt"] = "\(event.attempt)" }
            logger.debug("event", metadata: fields)
        }
    }
}
