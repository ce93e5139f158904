import Logging

extension Logger.Metadata {
    /// What every line about a job bears: `job_id`, and `trace_id` when it was submitted within a trace.
    static func job(_ job: Job) -> Logger.Metadata { .job(job.spec) }

    static func job(_ spec: JobSpec) -> Logger.Metadata {
        var metadata: Logger.Metadata = ["job_id": "\(spec.id)"]
        if let trace = spec.traceID { metadata["trace_id"] = "\(trace)" }
        return metadata
    }
}
