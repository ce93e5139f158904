import Foundation

/// The JSON in an event's `data`, by type. Every object has "task_id" and "class", and "trace_id"
/// when the job was submitted within a trace.
enum EventData {
    static func submitted(_ job: Job) -> [UInt8] { head(job).closed() }

    static func started(_ job: Job) -> [UInt8] {
        var text = head(job)
        text.add("attempt", job.attempt)
        return text.closed()
    }

    static func completed(_ job: Job) -> [UInt8] { ended(job).closed() }

    static func failed(_ job: Job) -> [UInt8] {
        var text = ended(job)
        text.add("reason", job.failureReason?.word ?? "")
        text.add("signal", job.signal)
        text.add("error", job.error)
        return text.closed()
    }

    static func retrying(_ job: Job, reason: String, error: String, next: Timestamp) -> [UInt8] {
        var text = head(job)
        text.add("attempt", job.attempt)
        text.add("reason", reason)
        text.add("error", error)
        text.add("next_attempt_at", rfc3339(next))
        return text.closed()
    }

    static func cancelled(_ job: Job) -> [UInt8] {
        var text = head(job)
        text.add("attempt", job.attempt)
        text.add("reason", job.cancelReason ?? "")
        return text.closed()
    }

    private static func head(_ job: Job) -> JSONText {
        var text = JSONText()
        text.add("task_id", job.id)
        text.add("class", job.jobClass.word)
        if let trace = job.spec.traceID { text.add("trace_id", String(trace)) }
        return text
    }

    private static func ended(_ job: Job) -> JSONText {
        var text = head(job)
        text.add("attempt", job.attempt)
        text.add("exit_code", job.exitCode)
        if let started = job.startedAt, let finished = job.finishedAt {
            text.add("duration_ms", started.duration(to: finished).nanoseconds / 1_000_000)
        }
        return text
    }

    /// UTC, to the millisecond.
    static func rfc3339(_ time: Timestamp) -> String {
        var seconds = time_t(time.seconds)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        let milliseconds = Int((time.nanoseconds - time.seconds * 1_000_000_000) / 1_000_000)
        func padded(_ value: some BinaryInteger, _ width: Int) -> String {
            let digits = String(value)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        let date = "\(padded(parts.tm_year + 1900, 4))-\(padded(parts.tm_mon + 1, 2))-\(padded(parts.tm_mday, 2))"
        let clock = "\(padded(parts.tm_hour, 2)):\(padded(parts.tm_min, 2)):\(padded(parts.tm_sec, 2))"
        return "\(date)T\(clock).\(padded(milliseconds, 3))Z"
    }
}
