import Foundation
import Glibc
import Logging
import Synchronization
import Testing

@testable import Orchestrator

/// A file queue with its ledger, and others' files beside it as a test writes them.
@Suite final class TakenOverJobsTests {
    private let data = LedgerDirectory()
    private let scratch: Scratch
    private let directories: QueueDirectories

    init() throws {
        scratch = try Scratch()
        directories = QueueDirectories(scratch.path)
        try directories.create()
    }

    private func working(
        _ ledger: Ledger, lostAfter: Duration = .seconds(300), _ body: () async throws -> Void
    ) async throws {
        let configuration = FileQueueConfiguration(
            directory: scratch.path, ownerFile: "\(scratch.path)/owner", rescanInterval: .milliseconds(50),
            lostAfter: lostAfter)
        let files = FileQueue(
            configuration: configuration, ledger: ledger,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let task = Task { try await files.run() }
        do {
            try await body()
        } catch {
            task.cancel()
            throw error
        }
        task.cancel()
        try await task.value
    }

    private let spec = JobSpec(id: "a", payload: Array(#"{"command":["true"]}"#.utf8), source: .fileQueue)

    private func taken(_ ledger: Ledger) async throws {
        _ = try await ledger.submit(spec)
        _ = try await ledger.report(.takenOver, of: "a")
    }

    private func done(_ status: String, at time: Timestamp = .now()) throws {
        let text = #"{"id":"a","status":"\#(status)","attempt":2,"completed_at":"\#(time.rfc3339)"}"#
        try WholeFile.replace("\(directories.done)/a.json", with: Array(text.utf8))
    }

    @Test func `a job ends as soon as the other's done file is there, and that file stays as it is`() async throws {
        let ledger = try data.open()
        try await working(ledger) {
            try await taken(ledger)
            try done("completed")
            let job = try await ledger.job("a") { $0.state.isTerminal }
            #expect(job.state == .succeeded && job.attempt == 2)
            try await eventually { ledger.cursor(DoneWriter.cursorName) == job.lastSequence }
            let file = try WholeFile.facts("\(directories.done)/a.json")
            #expect(file.size < 120)
        }
        await ledger.close()
    }

    @Test func `it is still awaited after a restart`() async throws {
        var ledger = try data.open()
        try await taken(ledger)
        await ledger.close()
        ledger = try data.open()
        #expect(ledger.cachedJob("a")?.claim == .elsewhere)
        try done("failed")
        try await working(ledger) {
            let job = try await ledger.job("a") { $0.state.isTerminal }
            #expect(job.state == .failed)
        }
        await ledger.close()
    }

    @Test func `a done file of an earlier job with the id says nothing, one that is nowhere is LOST`() async throws {
        let ledger = try data.open()
        try done("completed", at: Timestamp(nanoseconds: 0))
        var times = [timeval(tv_sec: 1, tv_usec: 0), timeval(tv_sec: 1, tv_usec: 0)]
        #expect(utimes("\(directories.done)/a.json", &times) == 0)
        try await taken(ledger)
        try await working(ledger, lostAfter: .milliseconds(100)) {
            let job = try await ledger.job("a") { $0.state.isTerminal }
            #expect(job.failureReason == .lost)
            // The end is the other's to tell: its done file may have been there, and been taken away.
            try await eventually { ledger.cursor(DoneWriter.cursorName) == job.lastSequence }
            let file = try WholeFile.facts("\(directories.done)/a.json")
            #expect(file.modified == 1_000_000_000)
        }
        await ledger.close()
    }

    @Test func `a task that somebody has is waited for, and one that was refused has failed`() async throws {
        let ledger = try data.open()
        let other = "\(directories.claimed)/other"
        try WholeFile.makeDirectory(other)
        try WholeFile.write(Array(#"{"lease_seconds": 600}"#.utf8), to: "\(other)/.lease")
        try WholeFile.write(Array(#"{"payload":{"command":["true"]}}"#.utf8), to: "\(other)/a.json")
        try await taken(ledger)
        try await working(ledger, lostAfter: .milliseconds(1)) {
            // Two of its looks: the second begins after the first has ended.
            let first = ContinuousClock.now
            try await eventually { ContinuousClock.now - first > .milliseconds(200) }
            #expect(ledger.cachedJob("a")?.state == .queued)
            try WholeFile.write(Array("no such handler\n".utf8), to: "\(directories.failed)/a.json.error")
            #expect(rename("\(other)/a.json", "\(directories.failed)/a.json") == 0)
            let job = try await ledger.job("a") { $0.state.isTerminal }
            #expect(job.failureReason == .submitRejected && job.error.hasSuffix("no such handler"))
        }
        await ledger.close()
    }

    @Test func `a task that comes back is the same job, and not run again when it has ended elsewhere`() async throws {
        let ledger = try data.open()
        try await taken(ledger)
        try await working(ledger) {
            try WholeFile.replace(
                "\(directories.pending)/a.json", with: Array(#"{"payload":{"command":["true"]}}"#.utf8))
            let job = try await ledger.job("a") { $0.waitsForItsTurn }
            #expect(job.lastSequence == 1)

            _ = try await ledger.submit(JobSpec(id: "b", payload: spec.payload, source: .fileQueue))
            _ = try await ledger.report(.takenOver, of: "b")
            // The other was killed between the done file and the removal of its claim.
            let text = #"{"id":"b","status":"completed","completed_at":"\#(Timestamp.now().rfc3339)"}"#
            try WholeFile.replace("\(directories.done)/b.json", with: Array(text.utf8))
            try WholeFile.replace(
                "\(directories.pending)/b.json", with: Array(#"{"payload":{"command":["true"]}}"#.utf8))
            try await eventually { ledger.cachedJob("b")?.state == .succeeded }
            try await eventually { try claimedTasks(in: scratch.path) == ["a.json"] }
        }
        #expect(ledger.cachedJob("b")?.lastSequence == 3)
        await ledger.close()
    }
}
