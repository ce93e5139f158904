/// An event that an agent adds to the log.
public struct AgentEvent: Sendable, Equatable {
    public static let typePrefix = "agent."

    /// The agent's idempotency key; empty is none.
    public var id: String
    /// `agent.` and words with dots between.
    public var type: String
    /// The job it is about; empty is none.
    public var jobID: String
    /// A JSON object; empty is {}.
    public var data: [UInt8]

    public init(id: String = "", type: String, jobID: String = "", data: [UInt8] = []) {
        self.id = id
        self.type = type
        self.jobID = jobID
        self.data = data
    }
}

/// The answer to an agent's event.
public struct Publication: Sendable, Equatable {
    public var event: Event
    /// One with this id and the same content was there; `event` is that one.
    public var alreadyExisted: Bool
}
