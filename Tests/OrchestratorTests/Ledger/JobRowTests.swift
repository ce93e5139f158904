import GRDB
import Testing

@testable import Orchestrator

/// A row says what the job was, whichever statement wrote it.
@Suite struct JobRowTests {
    private static let plain = JobSpec(id: "plain", payload: Array(#"{"command":["true"]}"#.utf8), priority: -3)

    private static let full = JobSpec(
        id: "full", jobClass: .gpu, payload: [UInt8](repeating: 0x20, count: JobRow.inlinePayload) + Array("{}".utf8),
        priority: 7, labels: ["a": "1", "b": "\"2\""], timeout: .seconds(3), deadline: .milliseconds(4_500),
        retry: RetryPolicy(maxAttempts: 4, initialBackoff: .seconds(1), maxBackoff: .seconds(9), retryOn: [1, 3]),
        dependsOn: ["p", "q"], resources: Resources(cpus: 1.5, memoryBytes: 1 << 30, gpus: 2, processes: 8),
        source: .fileQueue, traceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")

    private func stored(_ job: Job, number: UInt64 = 5) throws -> Job? {
        let database = try DatabaseQueue()
        try LedgerSchema.migrator.migrate(database)
        return try database.write { database in
            try JobRow.insert([JobRow(number: number, job: job)], in: database, values: BoundValues())
            let row = try JobRow.find(job.id, in: database)
            #expect(row?.number == number)
            return row?.job
        }
    }

    private func submitted(_ spec: JobSpec) -> Job {
        var job = Job(spec: spec, submittedAt: Timestamp(nanoseconds: 1_700_000_000_123_456_789))
        job.lastSequence = 5
        return job
    }

    @Test(arguments: [plain, full]) func `a new job is read as it was written`(spec: JobSpec) throws {
        #expect(try stored(submitted(spec)) == submitted(spec))
    }

    /// Each of them alone makes a job one that is not plain.
    @Test func `nothing that a job asks for is left out`() throws {
        let changes: [(inout JobSpec) -> Void] = [
            { $0.labels = Self.full.labels }, { $0.timeout = Self.full.timeout }, { $0.deadline = Self.full.deadline },
            { $0.retry.maxAttempts = 3 }, { $0.retry.initialBackoff = .seconds(2) },
            { $0.retry.maxBackoff = .seconds(2) }, { $0.retry.retryOn = [2] }, { $0.dependsOn = ["p"] },
            { $0.resources.cpus = 0.5 }, { $0.resources.memoryBytes = 1 }, { $0.resources.gpus = 1 },
            { $0.resources.processes = 1 }, { $0.traceParent = Self.full.traceParent }, { $0.source = .http },
            { $0.payload = Self.full.payload }, { $0.jobClass = .gpuSlurm },
        ]
        for change in changes {
            var spec = Self.plain
            change(&spec)
            #expect(try stored(submitted(spec)) == submitted(spec))
        }
    }

    /// More than one statement takes, of all kinds, and larger together than what is kept for a statement.
    @Test func `of many rows written together each is read as it was written`() throws {
        let jobs = (1...50).map { number in
            var spec = number % 7 == 0 ? Self.full : Self.plain
            spec.id = "\(spec.id) \(number)"
            if number % 7 != 0, number > 10 { spec.payload = [UInt8](repeating: 0x20, count: 150 * number) }
            var job = submitted(spec)
            job.lastSequence = UInt64(number)
            if number % 11 == 0 { job.state = .cancelled }
            return job
        }
        let database = try DatabaseQueue()
        try LedgerSchema.migrator.migrate(database)
        let read = try database.write { database in
            let rows = jobs.map { JobRow(number: $0.lastSequence, job: $0) }
            try JobRow.insert(rows, in: database, values: BoundValues())
            return try JobRow.fetchAll(database, sql: JobRow.selectSQL + " ORDER BY number")
        }
        #expect(read.map(\.job) == jobs)
    }

    @Test func `of many events written together each is read as it was written`() throws {
        let events = (1...29).map { number in
            Event(
                sequence: UInt64(number), type: number % 5 == 0 ? EventType(rawValue: "agent.step") : .taskSubmitted,
                jobID: number % 3 == 0 ? "" : "job \(number)", time: Timestamp(nanoseconds: Int64(number)),
                attempt: UInt32(number), state: number % 3 == 0 ? nil : .running,
                data: [UInt8](repeating: 0x61, count: number % 4 * 3_000), source: "agent")
        }
        let database = try DatabaseQueue()
        try LedgerSchema.migrator.migrate(database)
        let read = try database.write { database in
            try EventRow.insert(events, jobs: events.map { $0.sequence / 2 }, in: database, values: BoundValues())
            return try Row.fetchAll(database, sql: EventRow.selectSQL + " ORDER BY sequence").map(EventRow.event)
        }
        #expect(read == events)
    }

    /// As when it is cancelled before the commit of its submission.
    @Test func `what went on within the batch of its submission is written`() throws {
        var cancelled = submitted(Self.plain)
        cancelled.state = .cancelled
        cancelled.cancelReason = "no use"
        cancelled.cancelSource = "rpc"
        cancelled.error = "no use"
        cancelled.finishedAt = cancelled.submittedAt
        cancelled.lastSequence = 6
        #expect(try stored(cancelled) == cancelled)

        var elsewhere = submitted(Self.plain)
        elsewhere.claim = .elsewhere
        #expect(try stored(elsewhere) == elsewhere)

        var intended = submitted(Self.plain)
        intended.slurm = SlurmFacts(name: "dspy-1", intendedAt: Timestamp(nanoseconds: 3))
        #expect(try stored(intended) == intended)

        var expired = submitted(Self.full)
        expired.isExpired = true
        #expect(try stored(expired) == expired)
    }
}
