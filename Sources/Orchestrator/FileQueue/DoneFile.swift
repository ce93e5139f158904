/// What `done/<id>.json` says of a job that has ended.
enum DoneFile {
    /// Keys in the contract's order. A job that never started has null for what only an attempt has.
    static func text(of job: Job) -> [UInt8] {
        let hasRun = job.attempt > 0
        var json = JSONWriter(capacity: 384 + job.spec.payload.count + job.result.count)
        json.object { json in
            json.member("id", job.id)
            json.member("class", job.jobClass.word)
            json.key("payload")
            json.raw(job.spec.payload)
            json.member("status", status(of: job.state))
            json.member("attempt", job.attempt)
            json.member("submitted_at", job.submittedAt.rfc3339Milliseconds)
            json.member("started_at", orNull: job.startedAt?.rfc3339Milliseconds)
            json.member("completed_at", orNull: job.finishedAt?.rfc3339Milliseconds)
            json.member("duration_ms", orNull: duration(of: job))
            json.member("exit_code", orNull: hasRun ? job.exitCode : nil)
            json.member("signal", orNull: hasRun ? job.signal : nil)
            json.member("error", orNull: job.error.isEmpty ? nil : job.error)
            json.key("result")
            if job.result.isEmpty { json.null() } else { json.raw(job.result) }
            if job.jobClass == .gpuSlurm {
                json.key("slurm_job")
                json.slurmStatus(job, withPayload: false)
            }
        }
        return json.bytes + "\n".utf8
    }

    private static func status(of state: JobState) -> String {
        switch state {
        case .succeeded: "completed"
        case .failed: "failed"
        case .cancelled: "cancelled"
        case .queued, .submitted, .running: state.word
        }
    }

    /// Milliseconds of the last attempt.
    private static func duration(of job: Job) -> Int64? {
        guard let started = job.startedAt, let finished = job.finishedAt else { return nil }
        return max(0, started.duration(to: finished).nanoseconds / 1_000_000)
    }
}
