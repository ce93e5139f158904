/// What `done/<id>.json` says of a job that has ended.
enum DoneFile {
    /// Keys in the contract's order. A job that never started has null for what only an attempt has.
    static func text(of job: Job) -> [UInt8] {
        let hasRun = job.attempt > 0
        var text = "{"
        text += "\"id\": \(job.id.asJSON), \"class\": \(job.jobClass.word.asJSON), \"payload\": "
        var bytes = Array(text.utf8)
        bytes += job.spec.payload
        text = ", \"status\": \(status(of: job.state).asJSON), \"attempt\": \(job.attempt)"
        text += ", \"submitted_at\": \(EventData.rfc3339(job.submittedAt).asJSON)"
        text += ", \"started_at\": \(time(job.startedAt)), \"completed_at\": \(time(job.finishedAt))"
        text += ", \"duration_ms\": \(duration(of: job))"
        text += ", \"exit_code\": \(hasRun ? String(job.exitCode) : "null")"
        text += ", \"signal\": \(hasRun ? String(job.signal) : "null")"
        text += ", \"error\": \(job.error.isEmpty ? "null" : job.error.asJSON), \"result\": "
        bytes += Array(text.utf8)
        bytes += job.result.isEmpty ? Array("null".utf8) : job.result
        if job.jobClass == .gpuSlurm {
            var json = JSONWriter()
            json.slurmStatus(job, withPayload: false)
            bytes += Array(", \"slurm_job\": ".utf8) + json.bytes
        }
        bytes += Array("}\n".utf8)
        return bytes
    }

    private static func status(of state: JobState) -> String {
        switch state {
        case .succeeded: "completed"
        case .failed: "failed"
        case .cancelled: "cancelled"
        case .queued, .submitted, .running: state.word
        }
    }

    private static func time(_ time: Timestamp?) -> String { time.map { EventData.rfc3339($0).asJSON } ?? "null" }

    /// Of the last attempt.
    private static func duration(of job: Job) -> String {
        guard let started = job.startedAt, let finished = job.finishedAt else { return "null" }
        return String(max(0, started.duration(to: finished).nanoseconds / 1_000_000))
    }
}
