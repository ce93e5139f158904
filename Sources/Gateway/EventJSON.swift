import Orchestrator

/// An event as JSON, under the names of the RPC contract's message Event.
extension JSONWriter {
    mutating func event(_ event: Event) {
        object { json in
            json.key("sequence")
            json.integer(event.sequence)
            json.key("type")
            json.string(event.type.rawValue)
            json.key("job_id")
            json.string(event.jobID)
            json.key("time")
            json.string(event.time.rfc3339)
            json.key("attempt")
            json.integer(event.attempt)
            json.key("state")
            if let state = event.state { json.string(state.word) } else { json.null() }
            json.key("data")
            json.raw(event.data)
            json.key("source")
            json.string(event.source)
        }
    }
}
