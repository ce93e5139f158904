import Testing

@testable import Orchestrator

@Suite struct QueueTaskTests {
    private func parse(_ text: String) throws -> JobSpec {
        try QueueTask.parse(Array(text.utf8), stem: "stem")
    }

    @Test func `reads a task and keeps its payload byte for byte`() throws {
        let spec = try parse(#"{"id": "a", "class": "gpu", "payload": {"x" : 1.0, "x":2 }, "more": 1}"#)
        #expect(spec.id == "a")
        #expect(spec.jobClass == .gpu)
        #expect(String(decoding: spec.payload, as: UTF8.self) == #"{"x" : 1.0, "x":2 }"#)
        #expect(spec.source == .fileQueue)
    }

    @Test func `no id is the file's name, no class is cpu_short, no payload is empty`() throws {
        #expect(try parse("{}") == JobSpec(id: "stem", jobClass: .cpuShort, source: .fileQueue))
        #expect(
            try parse(#"{"id": null, "class": null, "payload": null}"#)
                == JobSpec(id: "stem", jobClass: .cpuShort, source: .fileQueue))
    }

    @Test(arguments: [
        ("[]", ""), (#"{"id": 1}"#, "id"), (#"{"id": ""}"#, "id"), (#"{"class": "cpu"}"#, "class"),
        (#"{"class": []}"#, "class"), (#"{"payload": "x"}"#, "payload"),
    ])
    func `a wrong field is named`(text: String, field: String) {
        let error = #expect(throws: OrchestratorError.self) { try parse(text) }
        #expect(error?.kind == .invalidArgument(field: field))
    }

    @Test func `text that is not JSON is told apart, as it may still be written`() {
        #expect(throws: JSONError.self) { try parse(#"{"id": "a", "pay"#) }
    }
}

@Suite struct QueueDirectoriesTests {
    @Test func `only visible JSON files are tasks`() {
        #expect(["a.json", "ä b.json", "a.b.json"].allSatisfy(QueueDirectories.isTaskName))
        #expect(![".a.json", "a.json.tmp", ".json", "a.txt", "json"].contains(where: QueueDirectories.isTaskName))
    }

    @Test func `a name claimed twice keeps its stem`() {
        let taken: Set = ["a.json", "a.json.1"]
        let name = QueueDirectories.claimName(for: "a.json") { !taken.contains($0) }
        #expect(name == "a.json.2")
        #expect(QueueDirectories.stem(of: name) == "a")
        #expect(QueueDirectories.stem(of: "a.2.json") == "a.2")
        #expect(QueueDirectories.stem(of: "a.txt") == nil)
    }

    @Test func `a name refused twice gets a number`() {
        #expect(QueueDirectories.refusalName(for: "a.json.3") { _ in true } == "a.json")
        #expect(QueueDirectories.refusalName(for: "a.json") { $0 != "a.json" } == "a.1.json")
    }
}

@Suite struct UnsettledFilesTests {
    private func facts(size: Int64) throws -> WholeFile.Facts {
        var facts = try WholeFile.facts("/proc/self/status")
        facts.size = size
        return facts
    }

    @Test func `a file is given up once it has been still for long enough`() throws {
        var files = UnsettledFiles(settleTime: .seconds(2))
        let start = Timestamp(nanoseconds: 0)
        let small = try facts(size: 1)
        let large = try facts(size: 2)
        #expect(files.observed("a", small, now: start) == .wait(until: start.advanced(by: .seconds(2))))
        let written = start.advanced(by: .seconds(1))
        #expect(files.observed("a", large, now: written) == .wait(until: written.advanced(by: .seconds(2))))
        #expect(
            files.observed("a", large, now: start.advanced(by: .seconds(2)))
                == .wait(until: written.advanced(by: .seconds(2))))
        #expect(files.observed("a", large, now: start.advanced(by: .seconds(3))) == .settled)
    }

    @Test func `a file that went away and came back starts anew`() throws {
        var files = UnsettledFiles(settleTime: .seconds(2))
        let facts = try facts(size: 1)
        _ = files.observed("a", facts, now: Timestamp(nanoseconds: 0))
        files.keep([])
        let later = Timestamp(nanoseconds: 0).advanced(by: .seconds(9))
        #expect(files.observed("a", facts, now: later) == .wait(until: later.advanced(by: .seconds(2))))
    }
}
