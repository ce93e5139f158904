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
            if let reason = job.failureReason { json.member("failure_reason", reason.word) }
            if job.jobClass == .gpuSlurm {
                json.key("slurm_job")
                json.slurmStatus(job, withPayload: false)
            }
        }
        return json.bytes + "\n".utf8
    }

    /// What a done file that another server may have written says of a job's end; nil when it says none of this id's.
    static func end(_ text: [UInt8], of id: String) -> TaskEnd? {
        guard let json = try? JSONNode(parsing: text), json.string("id") == id else { return nil }
        var end: TaskEnd
        var outcome = AttemptOutcome(
            exitCode: Int32(clamping: json.whole("exit_code") ?? 0), signal: Int32(clamping: json.whole("signal") ?? 0),
            error: String((json.string("error") ?? "").prefix(4_096)))
        switch json.string("status") {
        case "completed": end = TaskEnd(state: .succeeded, outcome: outcome)
        case "cancelled": end = TaskEnd(state: .cancelled, outcome: outcome)
        case "failed":
            let word = json.string("failure_reason")
            // Former versions do not say it.
            let reason = FailureReason.allCases.first { $0.word == word }
            outcome.failure =
                reason ?? (outcome.signal != 0 ? .signal : outcome.exitCode != 0 ? .exitCode : .runnerError)
            end = TaskEnd(state: .failed, outcome: outcome)
        default: return nil
        }
        if let result = json["result"], !result.isNull { end.outcome.result = Array(text[result.range]) }
        end.attempt = UInt32(clamping: json.whole("attempt") ?? 0)
        end.duration = json.whole("duration_ms").map { .milliseconds(min(max(0, $0), 1 << 50)) }
        end.endedAt = json.string("completed_at").flatMap { Timestamp(rfc3339: $0) }
        return end
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

extension JSONNode {
    fileprivate func string(_ key: String) -> String? {
        if case .string(let text)? = self[key]?.value { text } else { nil }
    }

    fileprivate func whole(_ key: String) -> Int64? {
        if case .number(let number)? = self[key]?.value { Int64(exactly: number.rounded()) } else { nil }
    }
}
