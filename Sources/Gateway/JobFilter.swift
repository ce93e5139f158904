import Orchestrator

/// The query string of `GET /v1/jobs`: `state`, `class` and `label=key=value` may come several times, the first two also
/// with commas; then `submitted_after` and `submitted_before` (RFC 3339), `page_size` and `page_token`.
enum JobFilter {
    static func query(_ parameters: some Sequence<(key: Substring, value: Substring)>) throws(OrchestratorError)
        -> JobQuery
    {
        var query = JobQuery()
        for (key, value) in parameters {
            switch key {
            case "state":
                for word in value.split(separator: ",") {
                    guard let state = JobState.allCases.first(where: { $0.word == word }) else {
                        throw .unknownWord("state", word, JobState.allCases.map(\.word))
                    }
                    query.states.insert(state)
                }
            case "class":
                for word in value.split(separator: ",") {
                    guard let jobClass = JobClass(word: word) else {
                        throw .unknownWord("class", word, JobClass.allCases.map(\.word))
                    }
                    query.classes.insert(jobClass)
                }
            case "label":
                let pair = value.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                guard pair.count == 2, !pair[0].isEmpty else {
                    throw .invalidArgument(
                        "label", "label \(String(value).debugDescription) is not of the form key=value")
                }
                query.labels[String(pair[0])] = String(pair[1])
            case "page_size":
                guard let size = Int(value), (0...1000).contains(size) else {
                    throw .invalidArgument(
                        "page_size",
                        "page_size \(String(value).debugDescription) is not a number from 0 (which is 100) to 1000")
                }
                query.limit = size
            case "page_token": query.pageToken = String(value)
            case "submitted_after": query.submittedAfter = try moment(key, value)
            case "submitted_before": query.submittedBefore = try moment(key, value)
            default:
                throw .unknownWord(
                    "parameter", key,
                    ["state", "class", "label", "submitted_after", "submitted_before", "page_size", "page_token"])
            }
        }
        return query
    }

    private static func moment(_ key: Substring, _ value: Substring) throws(OrchestratorError) -> Timestamp {
        // A plus in a query is a space to many; no moment has one.
        guard let moment = Timestamp(rfc3339: String(value).replacing(" ", with: "+")) else {
            throw .invalidArgument(
                String(key),
                "\(key) \(String(value).debugDescription) is not a moment; write it as 2026-01-31T12:00:00Z (RFC 3339)")
        }
        return moment
    }
}
