import Logging

extension Logger.Metadata {
    /// What every line about a job bears: `job_id`, and `trace_id` when it was submitted within a trace.
    static func job(_ job: Job) -> Logger.Metadata { .job(job.spec) }

    static func job(_ spec: JobSpec) -> Logger.Metadata {
        var metadata: Logger.Metadata = ["job_id": "\(spec.id)"]
        if let trace = spec.traceID { metadata["trace_id"] = "\(trace)" }
        return metadata
    }

    /// The same where only the id is known: with the trace as long as the job is in memory. No I/O.
    static func job(_ id: String, in index: JobIndex) -> Logger.Metadata {
        index.row(id).map { .job($0.job) } ?? ["job_id": "\(id)"]
    }

    /// The same where the job may be gone: the data of its events has the trace.
    static func job(of event: Event) -> Logger.Metadata {
        // One of an agent's may be about no job.
        if event.jobID.isEmpty { return [:] }
        var metadata: Logger.Metadata = ["job_id": "\(event.jobID)"]
        if case .string(let trace)? = try? JSONNode(parsing: event.data)["trace_id"]?.value {
            metadata["trace_id"] = "\(trace)"
        }
        return metadata
    }
}

extension Ledger {
    /// What every line about a job bears, of one that knows its id only: `job_id`, and `trace_id` as long as the job is in
    /// memory. No I/O.
    public func logMetadata(of id: String) -> Logger.Metadata {
        cachedJob(id).map { .job($0) } ?? ["job_id": "\(id)"]
    }
}
