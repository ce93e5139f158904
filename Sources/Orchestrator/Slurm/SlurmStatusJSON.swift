/// A batch job as people and scripts ask for it: `GET /slurm/status/{id}`, and "slurm_job" in a done file.
extension JSONWriter {
    public mutating func slurmStatus(_ job: Job, withPayload: Bool = true) {
        let facts = job.slurm
        object { json in
            json.key("id")
            if job.slurmJobID.isEmpty { json.null() } else { json.string(job.slurmJobID) }
            json.key("task_id")
            json.string(job.id)
            json.key("status")
            json.string(SlurmStatus.word(job.state))
            json.key("state")
            if let state = facts?.state, !state.isEmpty { json.string(state) } else { json.null() }
            json.key("submit_time")
            json.moment(nanoseconds: facts?.acceptedAt)
            json.key("start_time")
            json.moment(nanoseconds: facts?.startedAt)
            json.key("end_time")
            json.moment(nanoseconds: facts?.endedAt)
            json.key("exit_code")
            if job.state.isTerminal { json.integer(job.exitCode) } else { json.null() }
            json.key("signal")
            if job.state.isTerminal { json.integer(job.signal) } else { json.null() }
            json.key("error")
            if job.error.isEmpty { json.null() } else { json.string(job.error) }
            json.key("attempt")
            json.integer(job.attempt)
            json.key("restarts")
            json.integer(facts?.restarts ?? 0)
            json.key("name")
            if let name = facts?.name { json.string(name) } else { json.null() }
            json.key("resources")
            json.object { json in
                json.key("nodes")
                if let nodes = facts?.nodes, !nodes.isEmpty { json.string(nodes) } else { json.null() }
                json.key("elapsed_seconds")
                if let elapsed = facts?.elapsedSeconds { json.number(elapsed) } else { json.null() }
                json.key("max_rss_bytes")
                if let bytes = facts?.maxRSSBytes { json.integer(bytes) } else { json.null() }
            }
            if withPayload {
                json.key("payload")
                json.raw(job.spec.payload)
            }
        }
    }

    private mutating func moment(nanoseconds: Int64?) {
        if let nanoseconds { string(Timestamp(nanoseconds: nanoseconds).rfc3339) } else { null() }
    }
}

private enum SlurmStatus {
    /// The contract's four words.
    static func word(_ state: JobState) -> String {
        switch state {
        case .queued, .submitted: "pending"
        case .running: "running"
        case .succeeded: "completed"
        case .failed, .cancelled: "failed"
        }
    }
}
