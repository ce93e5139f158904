import Foundation
import GRDB

/// A job and its row: the one place that knows the columns' order.
struct JobRow: Sendable {
    /// Sequence of its task_submitted event.
    var number: UInt64
    var job: Job

    /// Larger payloads go to `large_payloads`. Bytes.
    static let inlinePayload = 2_048

    init(number: UInt64, job: Job) {
        self.number = number
        self.job = job
    }

    // MARK: Writing

    private static let insertSQL = """
        INSERT INTO jobs (number, id, class, submitted_at, source, payload, state, priority, max_attempts, last_sequence,
            attempt, unstarted_attempts, exit_code, signal,
            timeout_ns, initial_backoff_ns, max_backoff_ns, retry_on, labels, depends_on, deadline_ns, cpus,
            memory_bytes, gpus, processes, trace_parent)
        VALUES (?,?,?,?,?,?,?,?,?,?,0,0,0,0,?,?,?,?,?,?,?,?,?,?,?,?)
        """
    /// The same for those that ask for nothing of what most jobs ask nothing of: binding a NULL costs as much as a value.
    private static let insertPlainSQL = RowInserter.SQL(
        into: """
            jobs (number, id, class, submitted_at, source, payload, state, priority, max_attempts, last_sequence,
            attempt, unstarted_attempts, exit_code, signal)
            """,
        row: "(?,?,?,?,?,?,?,?,?,?,0,0,0,0)")
    private static let insertPayloadSQL = "INSERT INTO large_payloads (number, payload) VALUES (?,?)"
    private static let updateSQL = """
        UPDATE jobs SET state=?, priority=?, attempt=?, unstarted_attempts=?, started_at=?, finished_at=?, not_before=?,
            exit_code=?, signal=?, failure_reason=?, error=?, slurm_job_id=?, cancel_reason=?, cancel_source=?,
            last_sequence=?, expired=?, output_bytes=?, result=?, slurm=?, claim=?
        WHERE number=?
        """

    static func insert(_ rows: [JobRow], in database: Database, values: BoundValues) throws {
        let plain = rows.indices.filter { rows[$0].isPlain }
        if !plain.isEmpty {
            let inserter = RowInserter(sql: insertPlainSQL, values: values)
            try inserter.insert(plain, in: database) { rows[$0].bindFirst(&$1) }
        }
        if plain.count < rows.count {
            var full = try RowWriter(database, sql: insertSQL, values: values)
            for row in rows where !row.isPlain {
                row.bindFirst(&full)
                row.bindRest(&full)
                try full.run()
            }
        }
        if rows.contains(where: \.hasLargePayload) {
            var payload = try RowWriter(database, sql: insertPayloadSQL, values: values)
            for row in rows where row.hasLargePayload {
                payload.bind(row.number)
                payload.bind(row.job.spec.payload)
                try payload.run()
            }
        }
        try update(rows.filter { !$0.isAsSubmitted }, in: database, values: values)
    }

    private var hasLargePayload: Bool { job.spec.payload.count > Self.inlinePayload }

    /// Nothing more happened to it in the batch of its submission.
    private var isAsSubmitted: Bool {
        job.state == .queued && job.lastSequence == number && job.cancelReason == nil && job.slurm == nil
            && !job.isExpired && job.claim == .here
    }

    private var isPlain: Bool {
        let spec = job.spec
        return spec.timeout == nil && spec.deadline == nil && spec.labels.isEmpty && spec.dependsOn.isEmpty
            && spec.resources == .unspecified && spec.traceParent == nil && spec.retry.retryOn.isEmpty
            && spec.retry.initialBackoff == nil && spec.retry.maxBackoff == nil
    }

    private func bindFirst(_ row: inout RowWriter) {
        let spec = job.spec
        row.bind(number)
        row.bind(spec.id)
        row.bind(spec.jobClass.rawValue)
        row.bind(job.submittedAt.nanoseconds)
        row.bind(spec.source.rawValue)
        if hasLargePayload { row.bindNull() } else { row.bind(spec.payload) }
        row.bind(job.state.rawValue)
        row.bind(spec.priority)
        row.bind(spec.retry.maxAttempts)
        row.bind(job.lastSequence)
    }

    private func bindRest(_ row: inout RowWriter) {
        let spec = job.spec
        row.bind(spec.timeout?.nanoseconds)
        row.bind(spec.retry.initialBackoff?.nanoseconds)
        row.bind(spec.retry.maxBackoff?.nanoseconds)
        row.bind(
            spec.retry.retryOn.isEmpty
                ? nil : spec.retry.retryOn.map { String($0) }.joined(separator: ","))
        row.bind(spec.labels.isEmpty ? nil : Self.text(labels: spec.labels))
        row.bind(spec.dependsOn.isEmpty ? nil : spec.dependsOn.joined(separator: " "))
        row.bind(spec.deadline?.nanoseconds)
        row.bind(spec.resources.cpus == 0 ? nil : spec.resources.cpus)
        row.bind(spec.resources.memoryBytes == 0 ? nil : Int64(clamping: spec.resources.memoryBytes))
        row.bind(spec.resources.gpus == 0 ? nil : Int64(spec.resources.gpus))
        row.bind(spec.resources.processes == 0 ? nil : Int64(spec.resources.processes))
        row.bind(spec.traceParent)
    }

    static func update(_ rows: [JobRow], in database: Database, values: BoundValues) throws {
        if rows.isEmpty { return }
        var update = try RowWriter(database, sql: updateSQL, values: values)
        for row in rows {
            row.bindState(&update)
            update.bind(row.number)
            try update.run()
        }
    }

    private func bindState(_ row: inout RowWriter) {
        row.bind(job.state.rawValue)
        row.bind(job.spec.priority)
        row.bind(job.attempt)
        row.bind(job.unstartedAttempts)
        row.bind(job.startedAt?.nanoseconds)
        row.bind(job.finishedAt?.nanoseconds)
        row.bind(job.notBefore?.nanoseconds)
        row.bind(job.exitCode)
        row.bind(job.signal)
        row.bind((job.failureReason?.rawValue).map { Int64($0) })
        row.bind(job.error.isEmpty ? nil : job.error)
        row.bind(job.slurmJobID.isEmpty ? nil : job.slurmJobID)
        row.bind(job.cancelReason)
        row.bind(job.cancelSource)
        row.bind(job.lastSequence)
        row.bind(job.isExpired ? 1 : 0)
        row.bind(job.outputBytes)
        if job.result.isEmpty { row.bindNull() } else { row.bind(job.result) }
        row.bind(job.slurm?.json)
        row.bind(job.claim.rawValue)
    }

    static func text(labels: [String: String]) -> String {
        var json = JSONWriter()
        json.object { json in
            for (key, value) in labels { json.member(key, value) }
        }
        return String(decoding: json.bytes, as: UTF8.self)
    }

    // MARK: Reading

    private static let columns = """
        number, id, class, submitted_at, timeout_ns, max_attempts, initial_backoff_ns, max_backoff_ns, retry_on, source,
        labels, state, priority, attempt, unstarted_attempts, started_at, finished_at, not_before, exit_code, signal,
        failure_reason, error, slurm_job_id, cancel_reason, cancel_source, last_sequence, depends_on, deadline_ns,
        cpus, memory_bytes, gpus, processes, expired, output_bytes
        """
    /// Without payload and result.
    static let selectBriefSQL = "SELECT \(columns), x'' AS payload, x'' AS result, trace_parent, slurm, claim FROM jobs"
    static let selectSQL = """
        SELECT \(columns),
            coalesce(payload, (SELECT payload FROM large_payloads WHERE large_payloads.number = jobs.number)) AS payload,
            coalesce(result, x'') AS result, trace_parent, slurm, claim
        FROM jobs
        """

    /// - Throws: `internal`, when the row holds a value that no version of this program writes.
    init(_ row: Row) throws {
        let id: String = row[1]
        func unreadable(_ column: String, _ value: Any) -> OrchestratorError {
            OrchestratorError(
                .internal, "the ledger's row of job \"\(id)\" has \(column) \(value), which is unknown here")
        }
        guard let jobClass = JobClass(rawValue: row[2]) else { throw unreadable("class", row[2] as Int32) }
        guard let source = JobSource(rawValue: row[9]) else { throw unreadable("source", row[9] as String) }
        guard let claim = TaskClaim(rawValue: row[38]) else { throw unreadable("claim", row[38] as Int32) }
        guard let state = JobState(rawValue: row[11]) else { throw unreadable("state", row[11] as Int32) }

        var spec = JobSpec(id: id, jobClass: jobClass, source: source)
        spec.timeout = (row[4] as Int64?).map { .nanoseconds($0) }
        spec.retry = RetryPolicy(
            maxAttempts: row[5],
            initialBackoff: (row[6] as Int64?).map { .nanoseconds($0) },
            maxBackoff: (row[7] as Int64?).map { .nanoseconds($0) },
            retryOn: (row[8] as String?)?.split(separator: ",").compactMap { Int32($0) } ?? [])
        if let labels = row[10] as String? {
            spec.labels = try JSONDecoder().decode([String: String].self, from: Data(labels.utf8))
        }
        spec.priority = row[12]
        spec.dependsOn = (row[26] as String?)?.split(separator: " ").map { String($0) } ?? []
        spec.deadline = (row[27] as Int64?).map { .nanoseconds($0) }
        spec.resources = Resources(
            cpus: row[28] ?? 0, memoryBytes: UInt64(clamping: row[29] ?? Int64(0)), gpus: row[30] ?? 0,
            processes: row[31] ?? 0)
        spec.payload = Self.bytes(row[34])
        spec.traceParent = row[36]

        var job = Job(spec: spec, submittedAt: Timestamp(nanoseconds: row[3]))
        job.state = state
        job.attempt = row[13]
        job.unstartedAttempts = row[14]
        job.startedAt = (row[15] as Int64?).map { Timestamp(nanoseconds: $0) }
        job.finishedAt = (row[16] as Int64?).map { Timestamp(nanoseconds: $0) }
        job.notBefore = (row[17] as Int64?).map { Timestamp(nanoseconds: $0) }
        job.exitCode = row[18]
        job.signal = row[19]
        job.failureReason = (row[20] as Int32?).flatMap { FailureReason(rawValue: $0) }
        job.error = row[21] ?? ""
        job.slurmJobID = row[22] ?? ""
        job.cancelReason = row[23]
        job.cancelSource = row[24]
        job.lastSequence = UInt64(bitPattern: row[25] as Int64)
        job.isExpired = row[32]
        job.outputBytes = row[33]
        job.result = Self.bytes(row[35])
        job.slurm = try (row[37] as String?).map { try SlurmFacts(json: $0) }
        job.claim = claim
        self.number = UInt64(bitPattern: row[0] as Int64)
        self.job = job
    }

    private static func bytes(_ data: Data?) -> [UInt8] { data.map { [UInt8]($0) } ?? [] }

    /// The id of the newest job with this batch job.
    static func find(slurmJobID: String, in database: Database) throws -> String? {
        try String.fetchOne(
            database, sql: "SELECT id FROM jobs WHERE slurm_job_id = ? ORDER BY number DESC LIMIT 1",
            arguments: [slurmJobID])
    }

    /// Reads the rows as they come: copies of a hundred thousand `Row`s would take longer than the reading.
    static func fetchAll(_ database: Database, sql: String, arguments: StatementArguments = []) throws -> [JobRow] {
        let rows = try Row.fetchCursor(database, sql: sql, arguments: arguments)
        var jobs: [JobRow] = []
        while let row = try rows.next() { jobs.append(try JobRow(row)) }
        return jobs
    }

    static func state(of id: String, in database: Database) throws -> JobState? {
        let statement = try database.cachedStatement(sql: "SELECT state FROM jobs WHERE id = ?")
        return try Int32.fetchOne(statement, arguments: [id]).flatMap { JobState(rawValue: $0) }
    }

    static func find(_ id: String, in database: Database) throws -> JobRow? {
        let statement = try database.cachedStatement(sql: selectSQL + " WHERE id = ?")
        return try Row.fetchOne(statement, arguments: [id]).map { try JobRow($0) }
    }
}
