import GRDB

/// A filtered page of jobs, newest first.
public struct JobQuery: Sendable, Equatable {
    /// Empty is every state.
    public var states: Set<JobState>
    /// Empty is every class.
    public var classes: Set<JobClass>
    /// Jobs that have all of these.
    public var labels: [String: String]
    public var submittedAfter: Timestamp?
    public var submittedBefore: Timestamp?
    /// Jobs on the page: 0 is 100, at most 1000.
    public var limit: Int
    /// `nextPageToken` of the page before, or empty. Jobs submitted since do not shift the pages.
    public var pageToken: String

    public init(
        states: Set<JobState> = [], classes: Set<JobClass> = [], labels: [String: String] = [:],
        submittedAfter: Timestamp? = nil, submittedBefore: Timestamp? = nil, limit: Int = 0, pageToken: String = ""
    ) {
        self.states = states
        self.classes = classes
        self.labels = labels
        self.submittedAfter = submittedAfter
        self.submittedBefore = submittedBefore
        self.limit = limit
        self.pageToken = pageToken
    }
}

public struct JobPage: Sendable, Equatable {
    /// Without payload and result.
    public var jobs: [Job]
    /// Empty on the last page.
    public var nextPageToken: String

    public init(jobs: [Job], nextPageToken: String) {
        self.jobs = jobs
        self.nextPageToken = nextPageToken
    }
}

extension JobQuery {
    /// The query as SQL. A page's token is the number of its last job.
    struct Plan: Sendable {
        var limit: Int
        var sql: String
        var arguments: StatementArguments

        func fetch(_ database: Database) throws -> JobPage {
            // One more than asked for tells whether there is a further page.
            var rows = try Row.fetchAll(database, sql: sql, arguments: arguments + [limit + 1]).map { try JobRow($0) }
            let hasMore = rows.count > limit
            if hasMore { rows.removeLast() }
            return JobPage(jobs: rows.map(\.job), nextPageToken: hasMore ? String(rows.last?.number ?? 0) : "")
        }
    }

    func plan() throws(OrchestratorError) -> Plan {
        guard (0...1000).contains(limit) else {
            throw .invalidArgument("page_size", "page_size of \(limit): 1 to 1000, or 0 for 100")
        }
        var conditions: [String] = []
        var arguments = StatementArguments()
        if !states.isEmpty {
            conditions.append("state IN (\(states.map { String($0.rawValue) }.sorted().joined(separator: ",")))")
        }
        if !classes.isEmpty {
            conditions.append("class IN (\(classes.map { String($0.rawValue) }.sorted().joined(separator: ",")))")
        }
        for (key, value) in labels {
            conditions.append("EXISTS (SELECT 1 FROM json_each(labels) WHERE key = ? AND value = ?)")
            arguments += [key, value]
        }
        if let submittedAfter {
            conditions.append("submitted_at > ?")
            arguments += [submittedAfter.nanoseconds]
        }
        if let submittedBefore {
            conditions.append("submitted_at < ?")
            arguments += [submittedBefore.nanoseconds]
        }
        if !pageToken.isEmpty {
            guard let number = Int64(pageToken), number > 0 else {
                throw .invalidArgument(
                    "page_token",
                    "page_token \(pageToken.debugDescription) is not one of this server's; pass next_page_token unchanged"
                )
            }
            conditions.append("number < ?")
            arguments += [number]
        }
        let filter = conditions.isEmpty ? "" : " WHERE " + conditions.joined(separator: " AND ")
        return Plan(
            limit: limit == 0 ? 100 : limit,
            sql: JobRow.selectBriefSQL + filter + " ORDER BY number DESC LIMIT ?", arguments: arguments)
    }
}
