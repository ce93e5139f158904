/// What an agent's event must be like, and what becomes of its data.
struct AgentEventRules: Sendable {
    /// Of one event's data. Bytes.
    let maxDataBytes: Int
    private static let maxTypeBytes = 64

    /// The event as the log has it: its data with "task_id" in front, when it is about a job.
    ///
    /// - Throws: `invalidArgument`.
    func checked(_ event: AgentEvent) throws(OrchestratorError) -> AgentEvent {
        try checkType(event.type)
        if !event.id.isEmpty { try SubmissionRules.checkID(event.id, field: "event_id") }
        if !event.jobID.isEmpty { try SubmissionRules.checkID(event.jobID, field: "job_id") }
        var event = event
        event.data = try data(of: event)
        return event
    }

    private func checkType(_ type: String) throws(OrchestratorError) {
        let words = type.split(separator: ".", omittingEmptySubsequences: false)
        let isWellFormed =
            type.hasPrefix(AgentEvent.typePrefix) && type.utf8.count <= Self.maxTypeBytes
            && words.allSatisfy { word in
                !word.isEmpty
                    && word.utf8.allSatisfy {
                        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0)
                            || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                            || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-")
                    }
            }
        guard isWellFormed else {
            throw .invalidArgument(
                "type",
                "type \(String(type.prefix(80)).debugDescription): must be \"agent.\" and words of a-z 0-9 _ - with dots between, "
                    + "at most \(Self.maxTypeBytes) characters, such as agent.step")
        }
    }

    private func data(of event: AgentEvent) throws(OrchestratorError) -> [UInt8] {
        let data = event.data.isEmpty ? Array("{}".utf8) : event.data
        guard data.count <= maxDataBytes else {
            throw .invalidArgument(
                "data",
                "data of \(data.count) bytes: at most \(maxDataBytes) are allowed; put large data in a file and name it"
            )
        }
        let node: JSONNode
        do {
            node = try JSONNode(parsingObject: data)
        } catch {
            throw .invalidArgument("data", "data must be one JSON object in UTF-8: \(error)")
        }
        // The log's own member: who reads the events trusts it.
        guard node["task_id"] == nil else {
            throw .invalidArgument("data", "data has \"task_id\", which job_id sets; leave it out or rename it")
        }
        guard !event.jobID.isEmpty else { return data }
        guard case .object(let members) = node.value else { return data }
        let head = "{\"task_id\":\(event.jobID.asJSON)" + (members.isEmpty ? "" : ",")
        return Array(head.utf8) + data[(node.range.lowerBound + 1)...]
    }
}
