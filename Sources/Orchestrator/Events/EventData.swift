/// The JSON in an event's `data`, by type. Every object has "task_id" and "class", and "trace_id"
/// when the job was submitted within a trace.
enum EventData {
    static func submitted(_ job: Job) -> [UInt8] { object(job) { _ in } }

    static func started(_ job: Job) -> [UInt8] {
        object(job) { $0.member("attempt", job.attempt) }
    }

    static func completed(_ job: Job) -> [UInt8] { object(job) { ended(job, &$0) } }

    static func failed(_ job: Job) -> [UInt8] {
        object(job) { json in
            ended(job, &json)
            json.member("reason", job.failureReason?.word ?? "")
            json.member("signal", job.signal)
            json.member("error", job.error)
        }
    }

    static func retrying(_ job: Job, reason: String, error: String, next: Timestamp) -> [UInt8] {
        object(job) { json in
            json.member("attempt", job.attempt)
            json.member("reason", reason)
            json.member("error", error)
            json.member("next_attempt_at", next.rfc3339Milliseconds)
        }
    }

    static func cancelled(_ job: Job) -> [UInt8] {
        object(job) { json in
            json.member("attempt", job.attempt)
            json.member("reason", job.cancelReason ?? "")
        }
    }

    /// Of slurm_job_submitted and slurm_job_started.
    ///
    /// - Parameter reason: of whoever had it put back into the queue; empty is none.
    static func slurm(_ job: Job, reason: String = "") -> [UInt8] {
        object(job) { json in
            slurmMembers(of: job, &json)
            if !reason.isEmpty { json.member("reason", reason) }
        }
    }

    /// Of slurm_job_completed, which comes whichever way the batch job ended.
    static func slurmEnded(_ job: Job, _ outcome: AttemptOutcome) -> [UInt8] {
        object(job) { json in
            slurmMembers(of: job, &json)
            json.member("exit_code", outcome.exitCode)
            json.member("signal", outcome.signal)
            if let reason = outcome.failure { json.member("reason", reason.word) }
            if let elapsed = job.slurm?.elapsedSeconds { json.member("elapsed_ms", Int64(elapsed * 1000)) }
        }
    }

    private static func slurmMembers(of job: Job, _ json: inout JSONWriter) {
        json.member("attempt", job.attempt)
        json.member("slurm_job_id", job.slurmJobID)
        json.member("name", job.slurm?.name ?? "")
        json.member("state", job.slurm?.state ?? "")
        json.member("restarts", job.slurm?.restarts ?? 0)
        json.member("nodes", job.slurm?.nodes ?? "")
    }

    private static func object(_ job: Job, _ more: (inout JSONWriter) -> Void) -> [UInt8] {
        var json = JSONWriter(capacity: 96)
        json.object { json in
            json.member("task_id", job.id)
            json.member("class", job.jobClass.word)
            if let trace = job.spec.traceID { json.member("trace_id", String(trace)) }
            more(&json)
        }
        return json.bytes
    }

    private static func ended(_ job: Job, _ json: inout JSONWriter) {
        json.member("attempt", job.attempt)
        json.member("exit_code", job.exitCode)
        if let started = job.startedAt, let finished = job.finishedAt {
            json.member("duration_ms", started.duration(to: finished).nanoseconds / 1_000_000)
        }
    }
}
