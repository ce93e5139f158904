import Foundation
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
    /// The query as SQL. Jobs come in the order of their numbers, which is that of their acceptance: no two are equal, and
    /// none changes, so pages never overlap.
    struct Plan: Sendable {
        var limit: Int
        var conditions: [String]
        var arguments: StatementArguments
        var pageToken: String
        /// The filter, for the token.
        var filter: [UInt8]

        func fetch(_ database: Database) throws -> JobPage {
            let key = [UInt8](try Data.fetchOne(database, sql: "SELECT key FROM identity") ?? Data())
            var conditions = conditions
            var arguments = arguments
            if !pageToken.isEmpty {
                conditions.append("number < ?")
                arguments += [Int64(clamping: try PageToken(pageToken, filter: filter, key: key).number)]
            }
            let filtered = conditions.isEmpty ? "" : " WHERE " + conditions.joined(separator: " AND ")
            // One more than asked for tells whether there is a further page.
            var rows = try Row.fetchAll(
                database, sql: JobRow.selectBriefSQL + filtered + " ORDER BY number DESC LIMIT ?",
                arguments: arguments + [limit + 1]
            ).map { try JobRow($0) }
            let hasMore = rows.count > limit
            if hasMore { rows.removeLast() }
            let last = hasMore ? rows.last.map { PageToken(number: $0.number) } : nil
            return JobPage(jobs: rows.map(\.job), nextPageToken: last?.text(filter: filter, key: key) ?? "")
        }
    }

    func plan() throws(OrchestratorError) -> Plan {
        guard (0...1000).contains(limit) else {
            throw .invalidArgument("page_size", "page_size of \(limit): 1 to 1000, or 0 for 100")
        }
        // A job has no more, so a longer filter would only cost the time to find that out.
        guard labels.count <= 64 else {
            throw .invalidArgument("labels", "labels: \(labels.count) in the filter; a job has at most 64")
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
        return Plan(
            limit: limit == 0 ? 100 : limit, conditions: conditions, arguments: arguments, pageToken: pageToken,
            filter: filterBytes)
    }

    /// The same for equal filters, and for no others.
    private var filterBytes: [UInt8] {
        var json = JSONWriter()
        json.array { json in
            json.array { json in
                for state in states.map(\.rawValue).sorted() { json.integer(state) }
            }
            json.array { json in
                for jobClass in classes.map(\.rawValue).sorted() { json.integer(jobClass) }
            }
            json.object { json in
                for (key, value) in labels.sorted(by: { $0.key < $1.key }) {
                    json.key(key)
                    json.string(value)
                }
            }
            for moment in [submittedAfter, submittedBefore] {
                if let moment { json.integer(moment.nanoseconds) } else { json.null() }
            }
        }
        return json.bytes
    }
}
