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
        let stocktakings = Mutex(0)
        let refusals = Mutex<[OrchestratorError]>([])

        init() throws {
            scratch = try Scratch()
            directories = QueueDirectories(scratch.path)
            try directories.create()
        }

        /// - Parameter server: whose; each has a data directory of its own.
        func inbox(
            server: String = "one", settleTime: Duration = .milliseconds(100), lease: Duration = .seconds(30),
            claims: ClaimedFiles = ClaimedFiles(), onRefusal: @escaping @Sendable () -> Void = {},
            loads: (@Sendable () -> [JobClass: Scheduler.ClassLoad])? = nil,
            now: @escaping @Sendable () -> Timestamp = Timestamp.steady,
            change: (inout FileQueueConfiguration) -> Void = { _ in }
        ) -> FileQueueInbox {
            var configuration = FileQueueConfiguration(
                directory: scratch.path, ownerFile: "\(scratch.path)/owner-of-\(server)",
                rescanInterval: .seconds(60), settleTime: settleTime, maxFileBytes: 10_000, lease: lease)
            change(&configuration)
            return FileQueueInbox(
                configuration: configuration, claims: claims,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, now: now,
                submit: { [self] specs in
                    specs.map { spec in
                        if let refusal = refusals.withLock({ $0.popLast() }) {
                            onRefusal()
                            return .failure(refusal)
                        }
                        submitted.withLock { $0.append(spec) }
                        return .success(Job(spec: spec, submittedAt: .now()))
                    }
                },
                ended: { _ in },
                takenOver: { [self] in stocktakings.withLock { $0 += 1 } }, loads: loads)
        }

        /// In place, as most programs write.
        func drop(_ name: String, _ text: String) throws {
            try WholeFile.write(Array(text.utf8), to: "\(directories.pending)/\(name)")
        }

        var claimed: [String] { get throws { try claimedTasks(in: scratch.path) } }

        /// `claimed/<owner>` of the server's newest name.
        func claims(of server: String) throws -> String {
            let owners = ClaimOwners(path: "\(scratch.path)/owner-of-\(server)").read()
            return try "\(directories.claimed)/\(#require(owners.last))"
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
        #expect(try desk.claimed == ["before.json", "place.json", "renamed.json"])
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
        #expect(try desk.claimed == ["b.json"])
        #expect(inbox.counts.refused == 1)
    }

    @Test func `claims of an earlier life are submitted again under the same id, and no other's`() async throws {
        let desk = try Desk()
        try desk.drop("a.json", task)
        try await working(desk.inbox()) { try await eventually { desk.ids == ["a"] } }
        let claims = try desk.claims(of: "one")
        try WholeFile.write(Array(task.utf8), to: "\(claims)/a.json.1")
        let others = "\(desk.directories.claimed)/runner-7"
        try WholeFile.makeDirectory(others)
        try WholeFile.write(Array(#"{"lease_seconds": 60}"#.utf8), to: "\(others)/.lease")
        try WholeFile.write(Array(task.utf8), to: "\(others)/b.json")
        try await working(desk.inbox()) { try await eventually { desk.ids == ["a", "a", "a"] } }
        #expect(try desk.claims(of: "one") == claims)
        #expect(WholeFile.exists("\(others)/b.json"))
        #expect(desk.stocktakings.withLock { $0 } == 0)
    }

    @Test func `claims of a version without owners are submitted again`() async throws {
        let desk = try Desk()
        try WholeFile.write(Array(task.utf8), to: "\(desk.directories.claimed)/a.json")
        try await working(desk.inbox()) { try await eventually { desk.ids == ["a"] } }
        #expect(try desk.claimed == ["a.json"])
        #expect(!WholeFile.exists("\(desk.directories.claimed)/a.json"))
    }

    @Test func `what a silent owner had claimed is taken over, and it learns of that when it is back`() async throws {
        let desk = try Desk()
        for name in ["a.json", "b.json"] { try desk.drop(name, task) }
        try await working(desk.inbox(server: "silent", lease: .seconds(2))) {
            try await eventually { desk.ids.sorted() == ["a", "b"] }
        }
        let left = try desk.claims(of: "silent")
        // Its job had ended, and the claim was gone.
        unlink("\(left)/b.json")
        try await working(desk.inbox(server: "other", lease: .seconds(12))) {
            try await eventually { desk.ids.sorted() == ["a", "a", "b"] }
            #expect(try desk.claims(of: "other") != left)
            #expect(WholeFile.exists("\(try desk.claims(of: "other"))/a.json"))
            #expect(WholeFile.exists("\(left)/.revoked"))
            try await working(desk.inbox(server: "silent", lease: .seconds(12))) {
                try await eventually { desk.stocktakings.withLock { $0 } == 1 }
                try await eventually { !WholeFile.exists(left) }
                try desk.drop("c.json", task)
                try await eventually { desk.ids.contains("c") }
            }
        }
        #expect(desk.ids.sorted() == ["a", "a", "b", "c"])
    }

    @Test func `an owner whose lease is revoked while it works takes stock and goes on under another name`()
        async throws
    {
        let desk = try Desk()
        try desk.drop("a.json", task)
        let claims = ClaimedFiles()
        try await working(desk.inbox(lease: .seconds(2), claims: claims)) {
            try await eventually { desk.ids == ["a"] }
            let former = try desk.claims(of: "one")
            // Another server, which was quicker with one of two.
            try WholeFile.write(Array(task.utf8), to: "\(former)/kept.json")
            #expect(rename("\(former)/.lease", "\(former)/.revoked") == 0)
            #expect(rename("\(former)/a.json", "\(desk.scratch.path)/taken") == 0)
            try await eventually { desk.stocktakings.withLock { $0 } == 1 }
            #expect(try desk.claims(of: "one") != former)
            #expect(claims.isAwaited("kept") && !claims.isAwaited("a"))
            try await eventually { !WholeFile.exists(former) }
        }
    }

    @Test func `the queue's directory may go away and come back`() async throws {
        let desk = try Desk()
        try await working(desk.inbox(lease: .seconds(2))) {
            try desk.drop("a.json", task)
            try await eventually { desk.ids == ["a"] }
            for directory in desk.directories.all { try FileManager.default.removeItem(atPath: directory) }
            try await eventually { WholeFile.exists(desk.directories.pending) }
            try desk.drop("b.json", task)
            try await eventually { desk.ids == ["a", "b"] }
        }
        #expect(desk.stocktakings.withLock { $0 } == 0)
    }

    @Test func `a hard link is a task only once it has no other name`() async throws {
        let desk = try Desk()
        let outside = "\(desk.scratch.path)/outside"
        try WholeFile.write(Array(task.utf8), to: outside)
        #expect(link(outside, "\(desk.directories.pending)/kept.json") == 0)
        try await working(desk.inbox()) {
            try await eventually { desk.reason("kept.json")?.contains("hard link") == true }
            let arriving = "\(desk.scratch.path)/arriving"
            try WholeFile.write(Array(task.utf8), to: arriving)
            #expect(link(arriving, "\(desk.directories.pending)/arrived.json") == 0)
            unlink(arriving)
            try desk.drop("hint.json", task)
            try await eventually { desk.ids.sorted() == ["arrived", "hint"] }
        }
    }

    @Test func `a name that is no text, or too long for a second one beside it, is refused with the reason`()
        async throws
    {
        let desk = try Desk()
        let path = Array("\(desk.directories.pending)/".utf8) + [0x61, 0xff] + Array(".json".utf8).map { $0 } + [0]
        let descriptor = path.withUnsafeBytes { bytes in
            bytes.withMemoryRebound(to: CChar.self) { open($0.baseAddress!, O_WRONLY | O_CREAT, 0o600) }
        }
        #expect(descriptor >= 0)
        close(descriptor)
        let long = String(repeating: "x", count: 250)
        try await working(desk.inbox()) {
            try desk.drop("\(long).json", task)
            try await eventually { desk.reason("a\u{fffd}.json")?.contains("not UTF-8") == true }
            try await eventually { desk.ids == [long] }
        }
        #expect(try WholeFile.names(in: desk.directories.pending) == [])
        #expect(QueueDirectories.refusalName(for: "\(long).json") { _ in true } == String(long.prefix(200)) + ".json")
        #expect(
            QueueDirectories.claimName(for: "\(long).json") { $0.hasSuffix(".1") } == String(long.prefix(200))
                + ".json.1")
    }

    @Test func `a file that nests without end is refused`() async throws {
        let desk = try Desk()
        try desk.drop("deep.json", String(repeating: "[", count: 9_000))
        try desk.drop("deep-payload.json", #"{"payload": "# + String(repeating: #"{"a":"#, count: 1_000) + "}")
        try await working(desk.inbox()) {
            try await eventually { desk.reason("deep.json")?.contains("levels") == true }
            try await eventually { desk.reason("deep-payload.json")?.contains("levels") == true }
        }
    }

    @Test func `what could not be submitted in time is submitted once the lease is sure again`() async throws {
        let desk = try Desk()
        let late = Mutex(Duration.zero)
        desk.refusals.withLock { $0 = [OrchestratorError(.unavailable, "later")] }
        try desk.drop("a.json", task)
        // The first try takes longer than a lease, and nobody else is there to take it away.
        let inbox = desk.inbox(
            lease: .seconds(2), onRefusal: { late.withLock { $0 = .seconds(10) } },
            now: { Timestamp.steady().advanced(by: late.withLock { $0 }) })
        try await working(inbox) { try await eventually { desk.ids == ["a"] } }
    }

    @Test func `only what there is room for is claimed, and the rest when there is`() async throws {
        let desk = try Desk()
        let claims = ClaimedFiles()
        let inbox = desk.inbox(
            claims: claims, loads: { [.cpuShort: Scheduler.ClassLoad(limit: 1, inFlight: 0, waiting: 0)] },
            change: {
                $0.claimsOnlyRoom = true
                $0.classes = [.cpuShort]
            })
        for name in ["a", "b", "c", "d"] { try desk.drop("\(name).json", task) }
        try desk.drop("e.json", #"{"class": "gpu_slurm", "payload": {"command": ["true"]}}"#)
        try await working(inbox) {
            try await eventually { desk.ids == ["a", "b"] }
            #expect(inbox.unclaimed == [.cpuShort: 2])
            claims.remove(jobID: "a")
            try await eventually { desk.ids == ["a", "b", "c"] }
            try desk.drop("bb.json", task)
            try await eventually { inbox.counts.pending == 2 }
            for id in ["b", "c"] { claims.remove(jobID: id) }
            // Those that waited first.
            try await eventually { desk.ids.count == 5 }
        }
        #expect(desk.ids.prefix(3) == ["a", "b", "c"])
        #expect(try WholeFile.names(in: desk.directories.pending) == ["e.json"])
    }

    @Test func `a server takes its share only while others are there`() async throws {
        let desk = try Desk()
        let claims = ClaimedFiles()
        let others = "\(desk.directories.claimed)/runner-7"
        try WholeFile.makeDirectory(others)
        try WholeFile.write(Array(#"{"lease_seconds": 10}"#.utf8), to: "\(others)/.lease")
        for name in ["a", "b", "c"] { try desk.drop("\(name).json", task) }
        let inbox = desk.inbox(
            lease: .seconds(2), claims: claims,
            loads: { [.cpuShort: Scheduler.ClassLoad(limit: 1, inFlight: 0, waiting: 0)] })
        try await working(inbox) {
            try await eventually { desk.ids == ["a", "b"] }
            // The other one shows no sign of life any more.
            try await eventually { desk.ids == ["a", "b", "c"] }
        }
        #expect(WholeFile.exists("\(others)/.revoked"))
    }

    @Test func `a stop that lends gives the claims away at once`() async throws {
        let desk = try Desk()
        try desk.drop("a.json", task)
        try await working(desk.inbox(server: "leaving", change: { $0.lendsWhenStopped = true })) {
            try await eventually { desk.ids == ["a"] }
        }
        #expect(WholeFile.exists("\(try desk.claims(of: "leaving"))/.revoked"))
        try await working(desk.inbox(server: "other")) { try await eventually { desk.ids == ["a", "a"] } }
    }

    @Test func `1,000 files at once become 1,000 jobs, whatever number of servers looks`() async throws {
        let desk = try Desk()
        // No file is given up while it is being written.
        let patience = Duration.seconds(60)
        let (one, other) = (desk.inbox(settleTime: patience), desk.inbox(server: "other", settleTime: patience))
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
