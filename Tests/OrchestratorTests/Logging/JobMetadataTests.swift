import Logging
import Synchronization
import Testing

@testable import Orchestrator

@Suite struct JobMetadataTests {
    private static let trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    private static let traced = JobSpec(id: "a", traceParent: "00-\(trace)-00f067aa0ba902b7-01")
    private static let both: Logger.Metadata = ["job_id": "a", "trace_id": "\(trace)"]

    private func event(_ data: String, job: String = "a") -> Event {
        Event(
            sequence: 1, type: .taskFailed, jobID: job, time: .now(), attempt: 1, state: .failed,
            data: Array(data.utf8), source: "server")
    }

    @Test func `a line that knows only an id has the trace of a job in memory, ended ones too`() async throws {
        let directory = LedgerDirectory()
        let ledger = try directory.open()
        _ = try await ledger.submit(Self.traced)
        _ = try await ledger.submit(JobSpec(id: "plain"))
        #expect(ledger.logMetadata(of: "a") == Self.both)
        try await ledger.run("a")
        #expect(ledger.logMetadata(of: "a") == Self.both)
        #expect(ledger.logMetadata(of: "plain") == ["job_id": "plain"])
        #expect(ledger.logMetadata(of: "unknown") == ["job_id": "unknown"])
        await ledger.close()
    }

    @Test func `a line about an event has the trace that the event tells, though the job may be gone`() {
        #expect(Logger.Metadata.job(of: event(#"{"task_id":"a","trace_id":"\#(Self.trace)"}"#)) == Self.both)
        for data in ["{}", #"{"trace_id":7}"#, "no JSON"] {
            #expect(Logger.Metadata.job(of: event(data)) == ["job_id": "a"])
        }
        #expect(Logger.Metadata.job(of: event("{}", job: "")).isEmpty)
    }

    @Test func `what is removed is logged with the trace of its job`() async throws {
        let directory = LedgerDirectory()
        let found = Mutex<[Logger.Metadata]>([])
        let removeOutputs: Ledger.Configuration.RemoveOutputs = { ids, metadata in
            found.withLock { $0 += ids.map(metadata) }
        }
        let ledger = try directory.open { configuration in
            configuration.retention = Retention(outputs: .init(count: 0))
            configuration.removeOutputs = removeOutputs
        }
        _ = try await ledger.submit(Self.traced)
        try await ledger.run("a")
        await ledger.sweep()
        #expect(found.withLock { $0 } == [Self.both])
        await ledger.close()
    }
}
