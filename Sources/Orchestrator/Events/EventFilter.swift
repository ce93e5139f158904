/// Which events a reader wants. An empty set is all.
public struct EventFilter: Sendable, Equatable {
    public var jobIDs: Set<String>
    /// By their words, such as "task_completed".
    public var types: Set<String>

    public init(jobIDs: Set<String> = [], types: Set<String> = []) {
        self.jobIDs = jobIDs
        self.types = types
    }

    public static let all = EventFilter()

    var isAll: Bool { jobIDs.isEmpty && types.isEmpty }

    func admits(type: EventType, jobID: String) -> Bool {
        (types.isEmpty || types.contains(type.rawValue)) && (jobIDs.isEmpty || jobIDs.contains(jobID))
    }
}
