import Foundation
import Synchronization
import Testing

@testable import Orchestrator

@Suite struct EventFileRotationTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory.path + "/agent_action.jsonl" }

    private func at(_ seconds: Int64) -> Timestamp { Timestamp(nanoseconds: seconds * 1_000_000_000) }

    @Test func `a file goes by its size, before the line that would exceed it`() {
        let rotation = EventFileRotation(maxBytes: 100)
        #expect(!rotation.isDue(size: 60, adding: 40, begun: nil, now: at(0)))
        #expect(rotation.isDue(size: 60, adding: 41, begun: nil, now: at(0)))
        #expect(!rotation.isDue(size: 0, adding: 1000, begun: nil, now: at(0)))
    }

    @Test func `a file goes by its age, and an empty one has none`() {
        let rotation = EventFileRotation(maxAge: .seconds(60))
        #expect(!rotation.isDue(size: 1, adding: 1, begun: at(100), now: at(159)))
        #expect(rotation.isDue(size: 1, adding: 1, begun: at(100), now: at(160)))
        #expect(!rotation.isDue(size: 0, adding: 1, begun: at(100), now: at(999)))
        #expect(!rotation.isDue(size: 1, adding: 1, begun: nil, now: at(999)))
    }

    private func event(_ sequence: UInt64, at seconds: Int64) -> Event {
        Event(
            sequence: sequence, type: .taskSubmitted, jobID: "j", time: at(seconds), attempt: 0, state: .queued,
            data: [], source: "rpc")
    }

    private func names() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
    }

    @Test func `the age counts over a restart, from the first event in the file`() async throws {
        let clock = Mutex(at(1000))
        func sink() -> JSONLSink {
            JSONLSink(path: path, rotation: EventFileRotation(maxAge: .seconds(60))) { clock.withLock { $0 } }
        }
        _ = try await sink().deliver([event(1, at: 1000)])
        clock.withLock { $0 = at(1059) }
        _ = try await sink().deliver([event(2, at: 1059)])
        #expect(try names() == ["agent_action.jsonl"])
        clock.withLock { $0 = at(1060) }
        _ = try await sink().deliver([event(3, at: 1060)])
        #expect(try names() == ["agent_action.00000000000000000002.jsonl", "agent_action.jsonl"])
    }

    @Test func `another ledger's file of the same name is not replaced`() throws {
        let rotated = RotatedFiles(of: path)
        for text in ["old", "new"] {
            try Data(text.utf8).write(to: URL(fileURLWithPath: path))
            try rotated.take(path, last: 7)
        }
        #expect(
            try names() == ["agent_action.00000000000000000007-2.jsonl", "agent_action.00000000000000000007.jsonl"])
        #expect(
            try String(contentsOfFile: directory.path + "/agent_action.00000000000000000007.jsonl", encoding: .utf8)
                == "old")
    }

    @Test func `only files with such names are removed`() throws {
        for name in ["agent_action.jsonl", "agent_action.notes.jsonl", "agent_action.1.jsonl", "other.jsonl"] {
            try Data("x".utf8).write(to: URL(fileURLWithPath: directory.path + "/" + name))
        }
        try Data("x".utf8).write(to: URL(fileURLWithPath: path))
        let rotated = RotatedFiles(of: path)
        try rotated.take(path, last: 1)
        rotated.keep(0)
        #expect(try names() == ["agent_action.1.jsonl", "agent_action.notes.jsonl", "other.jsonl"])
    }

    @Test func `a file that can't be renamed says why`() throws {
        let error = #expect(throws: OrchestratorError.self) { try RotatedFiles(of: path).take(path, last: 1) }
        #expect(error?.message.contains(path) == true)
    }
}
