@testable import Orchestrator

/// The names of the task files that anybody has claimed in a queue directory, sorted.
func claimedTasks(in queue: String) throws -> [String] {
    let claimed = QueueDirectories(queue).claimed
    return try WholeFile.names(in: claimed).flatMap { owner in
        try WholeFile.names(in: "\(claimed)/\(owner)").filter { !$0.hasPrefix(".") }
    }.sorted()
}
