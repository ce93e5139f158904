import Orchestrator

/// A job as JSON, under the names of the RPC contract's message Job. Classes, states and reasons are their words, moments
/// RFC 3339, payload and result the JSON they are; what is not there is null.
extension JSONWriter {
    mutating func job(_ job: Job, withContent: Bool = true) {
        object { json in
            json.key("job_id")
            json.string(job.id)
            json.key("job_class")
            json.string(job.jobClass.word)
            json.key("state")
            json.string(job.state.word)
            json.key("attempt")
            json.integer(job.attempt)
            json.key("submitted_at")
            json.string(job.submittedAt.rfc3339)
            json.key("started_at")
            json.moment(job.startedAt)
            json.key("finished_at")
            json.moment(job.finishedAt)
            json.key("exit_code")
            json.integer(job.exitCode)
            json.key("signal")
            json.integer(job.signal)
            json.key("failure_reason")
            if let reason = job.failureReason { json.string(reason.word) } else { json.null() }
            json.key("error")
            json.string(job.error)
            if withContent {
                json.key("result")
                json.document(job.result)
                json.key("payload")
                json.document(job.spec.payload)
            }
            json.key("slurm_job_id")
            if job.slurmJobID.isEmpty { json.null() } else { json.string(job.slurmJobID) }
            json.key("labels")
            json.object { json in
                for (key, value) in job.spec.labels.sorted(by: { $0.key < $1.key }) {
                    json.key(key)
                    json.string(value)
                }
            }
            json.key("priority")
            json.integer(job.spec.priority)
            json.key("last_sequence")
            json.integer(job.lastSequence)
            json.key("depends_on")
            json.array { json in
                for parent in job.spec.dependsOn { json.string(parent) }
            }
            json.key("deadline")
            json.moment(job.deadline)
        }
    }

    private mutating func moment(_ time: Timestamp?) {
        if let time { string(time.rfc3339) } else { null() }
    }

    /// Stored JSON was checked when it came in.
    private mutating func document(_ bytes: [UInt8]) {
        if bytes.isEmpty { null() } else { raw(bytes) }
    }
}
