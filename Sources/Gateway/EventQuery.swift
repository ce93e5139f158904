import Orchestrator

/// The query string of `GET /v1/events`: `after_sequence`, `from_now`, `end_when_done`; `job_id` and `type` may come several
/// times.
enum EventQuery {
    /// - Parameter lastEventID: the header of a client that comes again. It goes before `after_sequence` and `from_now`,
    ///   which the client's address still has from its first time.
    static func request(
        _ parameters: some Sequence<(key: Substring, value: Substring)>, lastEventID: String?
    ) throws(OrchestratorError) -> EventRequest {
        var request = EventRequest()
        for (key, value) in parameters {
            switch key {
            case "after_sequence": request.after = try sequence(String(value), named: "after_sequence")
            case "job_id": request.filter.jobIDs.insert(String(value))
            case "type": request.filter.types.insert(String(value))
            case "from_now": request.fromNow = try flag(key, value)
            case "end_when_done": request.endWhenDone = try flag(key, value)
            default:
                throw .unknownWord(
                    "parameter", key, ["after_sequence", "job_id", "type", "from_now", "end_when_done"])
            }
        }
        if request.filter.types.count > 100 {
            throw .invalidArgument(
                "type", "type: \(request.filter.types.count) of them; name at most 100, or none for all")
        }
        if let lastEventID, !lastEventID.isEmpty {
            request.after = try sequence(lastEventID, named: "Last-Event-ID")
            request.fromNow = false
        }
        return request
    }

    private static func sequence(_ text: String, named name: String) throws(OrchestratorError) -> UInt64 {
        guard let sequence = UInt64(text) else {
            throw .invalidArgument(name, "\(name) \(text.debugDescription) is not an event's sequence, a whole number")
        }
        return sequence
    }

    static func flag(_ key: Substring, _ value: Substring) throws(OrchestratorError) -> Bool {
        switch value {
        case "", "1", "true": return true
        case "0", "false": return false
        default:
            throw .invalidArgument(String(key), "\(key) \(String(value).debugDescription) is not 1, 0, true or false")
        }
    }
}

extension OrchestratorError {
    static func unknownWord(_ what: String, _ word: Substring, _ words: [String]) -> OrchestratorError {
        .invalidArgument(
            what, "\(what) \(String(word).debugDescription) is not known; use one of \(words.joined(separator: ", "))")
    }
}
