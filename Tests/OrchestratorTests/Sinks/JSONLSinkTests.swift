import Foundation
import Logging
import Testing

@testable import Orchestrator

/// The event file behind a real ledger.
@Suite(.timeLimit(.minutes(5))) struct JSONLSinkTests {
    private let directory = TemporaryDirectory()
    private var logs: String { directory.path + "/logs" }
    private var path: String { logs + "/agent_action.jsonl" }

    private func openLedger(_ name: String = "data") throws -> Ledger {
        try Ledger.open(
            Ledger.Configuration(directory: directory.path + "/" + name),
            encoders: Ledger.Encoders(event: { _ in [0] }, job: { _ in [0] }), logger: Logger(label: "test"))
    }

    private func sequences(_ path: String? = nil) throws -> [UInt64] {
        guard let text = try? String(contentsOfFile: path ?? self.path, encoding: .utf8) else { return [] }
        return try text.split(separator: "\n").map { line in
            let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
            #expect(Set((object ?? [:]).keys) == ["sequence", "type", "timestamp", "data", "source"])
            return try #require(object?["sequence"] as? UInt64)
        }
    }

    /// Feeds the file while `body` runs, then stops as the server does.
    private func feeding(
        _ ledger: Ledger, rotation: EventFileRotation = .standard, _ body: () async throws -> Void
    ) async throws {
        let runner = SinkRunner(
            sink: JSONLSink(directory: logs, rotation: rotation), feed: EventFeed(ledger),
            metrics: SinkMetrics(MetricsRegistry()),
            logger: Logger(label: "test"))
        let run = Task { await runner.run() }
        try await body()
        runner.stop()
        await run.value
    }

    @Test func `every event is there once and in order after a stop`() async throws {
        let ledger = try openLedger()
        try await feeding(ledger) {
            for _ in 0..<50 { _ = try await ledger.submit(JobSpec()) }
        }
        #expect(try sequences() == Array(1...50))
        await ledger.close()
    }

    @Test func `a restart repeats nothing, even when the cursor was not saved`() async throws {
        let ledger = try openLedger()
        try await feeding(ledger) {
            for _ in 0..<10 { _ = try await ledger.submit(JobSpec()) }
        }
        ledger.saveCursor("jsonl", 4)
        // The crash also tore a line.
        let handle = try #require(FileHandle(forWritingAtPath: path))
        try handle.seekToEnd()
        try handle.write(contentsOf: Data(#"{"sequence":11,"type":"task_su"#.utf8))
        try handle.close()

        try await feeding(ledger) { _ = try await ledger.submit(JobSpec()) }
        #expect(try sequences() == Array(1...11))
        await ledger.close()
    }

    @Test func `an older ledger's lines don't hide a new one's`() async throws {
        let old = try openLedger("old")
        try await feeding(old) {
            for _ in 0..<5 { _ = try await old.submit(JobSpec()) }
        }
        await old.close()
        let new = try openLedger("new")
        for _ in 0..<7 { _ = try await new.submit(JobSpec()) }
        try await feeding(new) {}
        #expect(try sequences() == Array(1...5) + Array(1...7))
        await new.close()
    }

    @Test func `a rotated file is left alone and a new one begun`() async throws {
        let ledger = try openLedger()
        try await feeding(ledger) {
            _ = try await ledger.submit(JobSpec())
            #expect(try await soon { try sequences() == [1] })
            try FileManager.default.moveItem(atPath: path, toPath: path + ".1")
            _ = try await ledger.submit(JobSpec())
        }
        #expect(try sequences(path + ".1") == [1])
        #expect(try sequences() == [2])
        await ledger.close()
    }

    @Test func `a file that has its size is renamed after its last event, and all of them together miss nothing`()
        async throws
    {
        let ledger = try openLedger()
        let rotation = EventFileRotation(maxBytes: 2000)
        try await feeding(ledger, rotation: rotation) {
            for _ in 0..<100 { _ = try await ledger.submit(JobSpec()) }
        }
        let files = try FileManager.default.contentsOfDirectory(atPath: logs).sorted()
        #expect(files.count > 5 && files.last == "agent_action.jsonl")
        var all: [UInt64] = []
        for file in files {
            let found = try sequences(logs + "/" + file)
            let size = try FileManager.default.attributesOfItem(atPath: logs + "/" + file)[.size] as? Int
            #expect(try #require(size) <= 2000)
            if file != "agent_action.jsonl" {
                #expect(file.contains("." + String(repeating: "0", count: 20 - "\(found.last ?? 0)".count)))
                #expect(file.hasSuffix("0\(found.last ?? 0).jsonl"))
            }
            all += found
        }
        #expect(all == Array(1...100))
        await ledger.close()
    }

    @Test func `a crash right after a rotation repeats nothing`() async throws {
        let ledger = try openLedger()
        try await feeding(ledger) {
            for _ in 0..<10 { _ = try await ledger.submit(JobSpec()) }
        }
        try RotatedFiles(of: path).take(path, last: 10)
        ledger.saveCursor("jsonl", 3)
        try await feeding(ledger) { _ = try await ledger.submit(JobSpec()) }
        #expect(try sequences() == [11])
        await ledger.close()
    }

    @Test func `only so many renamed files stay, the newest`() async throws {
        let ledger = try openLedger()
        try await feeding(ledger, rotation: EventFileRotation(maxBytes: 1, keep: 2)) {
            for _ in 0..<6 { _ = try await ledger.submit(JobSpec()) }
        }
        let files = try FileManager.default.contentsOfDirectory(atPath: logs).sorted()
        #expect(
            files == [
                "agent_action.00000000000000000004.jsonl", "agent_action.00000000000000000005.jsonl",
                "agent_action.jsonl",
            ])
        #expect(try sequences() == [6])
        await ledger.close()
    }
}
