import Foundation
import Glibc
import Logging
import Synchronization
import Testing

@testable import Orchestrator

@Suite struct FileQueueInboxTests {
    /// A queue directory and a ledger that answers as it is told.
    private final class Desk: Sendable {
        let scratch: Scratch
        let directories: QueueDirectories
        let submitted = Mutex<[JobSpec]>([])
        let refusals = Mutex<[OrchestratorError]>([])

        init() throws {
            scratch = try Scratch()
            directories = QueueDirectories(scratch.path)
            try directories.create()
        }

        func inbox(settleTime: Duration = .milliseconds(100)) -> FileQueueInbox {
            FileQueueInbox(
                configuration: FileQueueConfiguration(
                    directory: scratch.path, rescanInterval: .seconds(60), settleTime: settleTime, maxFileBytes: 10_000),
                claims: ClaimedFiles(directory: directories.claimed),
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
                submit: { [self] specs in
                    specs.map { spec in
                        if let refusal = refusals.withLock({ $0.popLast() }) { return .failure(refusal) }
                        submitted.withLock { $0.append(spec) }
                        return .success(Job(spec: spec, submittedAt: .now()))
                    }
                },
                ended: { _ in })
        }

        /// In place, as most programs write.
        func drop(_ name: String, _ text: String) throws {
            try WholeFile.write(Array(text.utf8), to: "\(directories.pending)/\(name)")
        }

        var ids: [String] { submitted.withLock { $0.map(\.id) } }

        func reason(_ name: String) -> String? {
            guard WholeFile.exists("\(directories.failed)/\(name)") else { return nil }
            return (try? WholeFile.read("\(directories.failed)/\(name).error", limit: 10_000))
                .map { String(decoding: $0, as: UTF8.self) }
        }
    }

    private let task = #"{"payload": {"command": ["true"]}}"#

    /// Runs the inbox while `body` does.
    private func working(_ inbox: FileQueueInbox, _ body: () async throws -> Void) async throws {
        let task = Task { try await inbox.run() }
        do {
            try await body()
        } catch {
            task.cancel()
            throw error
        }
        task.cancel()
        try await task.value
    }

    @Test func `files written in place, renamed in and there before are each taken once`() async throws {
        let desk = try Desk()
        try desk.drop("before.json", task)
        try await working(desk.inbox()) {
            try await eventually { desk.ids == ["before"] }
            try desk.drop("place.json", task)
            try desk.drop(".renamed.tmp", task)
            #expect(rename("\(desk.directories.pending)/.renamed.tmp", "\(desk.directories.pending)/renamed.json") == 0)
            try await eventually { desk.ids.sorted() == ["before", "place", "renamed"] }
        }
        #expect(try WholeFile.names(in: desk.directories.pending) == [])
        #expect(
            try WholeFile.names(in: desk.directories.claimed).sorted() == ["before.json", "place.json", "renamed.json"])
    }

    @Test func `a file seen while it is written is taken when it is whole`() async throws {
        let desk = try Desk()
        try await working(desk.inbox(settleTime: .seconds(60))) {
            try desk.drop("half.json", String(task.prefix(20)))
            try desk.drop("other.json", task)
            try await eventually { desk.ids == ["other"] }
            try desk.drop("half.json", task)
            try await eventually { desk.ids == ["other", "half"] }
        }
        #expect(desk.reason("half.json") == nil)
    }

    @Test func `a file that stays invalid goes to failed with the reason, and nothing is overwritten`() async throws {
        let desk = try Desk()
        try await working(desk.inbox()) {
            try desk.drop("bad.json", "{")
            try await eventually { desk.reason("bad.json") != nil }
            try desk.drop("bad.json", "")
            try await eventually { desk.reason("bad.1.json") != nil }
        }
        #expect(desk.reason("bad.json")?.hasPrefix("it is not valid JSON") == true)
        #expect(desk.ids == [])
    }

    @Test func `what could never run is refused with the field`() async throws {
        let desk = try Desk()
        try desk.drop("class.json", #"{"class": "tpu"}"#)
        try desk.drop("none.json", "{}")
        try desk.drop("slurm.json", #"{"class": "gpu_slurm", "payload": {"command": ["true"]}}"#)
        try desk.drop("large.json", String(repeating: " ", count: 10_001))
        try FileManager.default.createDirectory(
            atPath: "\(desk.directories.pending)/dir.json", withIntermediateDirectories: false)
        #expect(symlink("/etc/passwd", "\(desk.directories.pending)/link.json") == 0)
        #expect(mkfifo("\(desk.directories.pending)/pipe.json", 0o600) == 0)
        try await working(desk.inbox()) {
            try await eventually { try WholeFile.names(in: desk.directories.pending) == [] }
        }
        #expect(desk.reason("class.json")?.contains("\"tpu\"") == true)
        #expect(desk.reason("none.json")?.contains("neither \"command\"") == true)
        #expect(desk.reason("slurm.json")?.contains("gpu_slurm") == true)
        #expect(desk.reason("large.json")?.contains("larger than 10000 bytes") == true)
        for name in ["dir.json", "link.json", "pipe.json"] {
            #expect(desk.reason(name)?.contains("not a regular file") == true)
        }
        #expect(desk.ids == [])
    }

    @Test func `other people's files are left alone, and odd names are read`() async throws {
        let desk = try Desk()
        try desk.drop("a.txt", task)
        try desk.drop(".hidden.json", task)
        try desk.drop("b.json.tmp", task)
        let odd = "ä \"quoted\"\n name.json"
        try desk.drop(odd, task)
        try await working(desk.inbox()) {
            try await eventually { desk.ids.count == 1 }
        }
        #expect(desk.ids == [String(odd.dropLast(5))])
        #expect(try WholeFile.names(in: desk.directories.pending).sorted() == [".hidden.json", "a.txt", "b.json.tmp"])
    }

    @Test func `a job that the ledger refuses goes to failed, one that it can't take now is kept`() async throws {
        let desk = try Desk()
        desk.refusals.withLock {
            $0 = [
                .invalidArgument("job_id", "job_id is odd"),
                OrchestratorError(.resourceExhausted(retryAfter: .zero), "full"),
                OrchestratorError(.unavailable, "stopping"),
            ]
        }
        let inbox = desk.inbox()
        try desk.drop("a.json", task)
        try await working(inbox) {
            try await eventually { desk.reason("a.json") == "job_id is odd\n" }
            try desk.drop("b.json", task)
            try await eventually { desk.ids == ["b"] }
        }
        #expect(try WholeFile.names(in: desk.directories.claimed) == ["b.json"])
        #expect(inbox.counts.refused == 1)
    }

    @Test func `claims of an earlier life are submitted again under the same id`() async throws {
        let desk = try Desk()
        try WholeFile.write(Array(task.utf8), to: "\(desk.directories.claimed)/a.json")
        try WholeFile.write(Array(task.utf8), to: "\(desk.directories.claimed)/a.json.1")
        try await working(desk.inbox()) {
            try await eventually { desk.ids == ["a", "a"] }
        }
    }

    @Test func `1,000 files at once become 1,000 jobs, whatever number of servers looks`() async throws {
        let desk = try Desk()
        let (one, other) = (desk.inbox(), desk.inbox())
        try await working(one) {
            try await working(other) {
                try await eventually { one.counts.scans > 0 && other.counts.scans > 0 }
                for index in 0..<1000 { try desk.drop("task-\(index).json", task) }
                try await eventually { desk.ids.count >= 1000 }
            }
        }
        #expect(Set(desk.ids).count == 1000)
        #expect(desk.ids.count == 1000)
        #expect(try WholeFile.names(in: desk.directories.pending) == [])
        #expect(try WholeFile.names(in: desk.directories.failed) == [])
    }
}
