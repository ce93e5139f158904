import Foundation
import Testing

@testable import Orchestrator

@Suite struct TaskSearchTests {
    private let scratch: Scratch
    private let directories: QueueDirectories

    init() throws {
        scratch = try Scratch()
        directories = QueueDirectories(scratch.path)
        try directories.create()
        try WholeFile.makeDirectory("\(directories.claimed)/other")
    }

    private func write(_ path: String, _ text: String = "{}") throws { try WholeFile.write(Array(text.utf8), to: path) }

    private func missing(_ ids: String...) throws -> Set<String> {
        var search = TaskSearch(directories, maxFileBytes: 1_000)
        return try search.look(for: Dictionary(uniqueKeysWithValues: ids.map { ($0, .now()) })).missing
    }

    @Test func `a task is found where it waits, and with whoever has it`() throws {
        try write("\(directories.pending)/waits.json")
        try write("\(directories.claimed)/other/runs.json")
        try write("\(directories.claimed)/other/again.json.2")
        try write("\(directories.claimed)/old.json")
        try write("\(directories.claimed)/other/.lease")
        #expect(try missing("waits", "runs", "again", "old", "gone") == ["gone"])
    }

    @Test func `a task is found by its id where its file has another name`() throws {
        try write("\(directories.claimed)/other/some name.json", #"{"id": "a"}"#)
        try write("\(directories.pending)/another.json", #"{"id": "b"}"#)
        try write("\(directories.pending)/broken.json", "{")
        #expect(try missing("a", "b", "c") == ["c"])
    }

    @Test func `files are read once, and so many in a look`() throws {
        for number in 0..<(TaskSearch.readsPerLook + 10) {
            try write("\(directories.pending)/file-\(number).json", #"{"id": "task-\#(number)"}"#)
        }
        var search = TaskSearch(directories, maxFileBytes: 1_000)
        let wanted = ["gone": Timestamp.now()]
        #expect(try search.look(for: wanted).isPartial)
        let whole = try search.look(for: wanted)
        #expect(!whole.isPartial && whole.missing == ["gone"])
        // Known by now, and not opened again.
        try write("\(directories.pending)/file-0.json", #"{"id": "gone"}"#)
        #expect(try search.look(for: wanted).missing == ["gone"])
    }

    @Test func `a refusal says why, unless it is one from before`() throws {
        let before = Timestamp.now()
        try write("\(directories.failed)/a.json.error", "no such handler\n")
        try write("\(directories.failed)/a.json")
        var search = TaskSearch(directories, maxFileBytes: 1_000)
        // What file systems write down as the time is a tick of the kernel's old.
        let earlier = before.advanced(by: .seconds(-1))
        let later = before.advanced(by: .seconds(60))
        #expect(try search.look(for: ["a": earlier]).refused == ["a": "no such handler"])
        let old = try search.look(for: ["a": later])
        #expect(old.refused == [:] && old.missing == ["a"])
    }

    @Test func `a directory that can't be read is no proof of absence`() throws {
        try FileManager.default.removeItem(atPath: directories.claimed)
        // As a file system that is away for a while: an error other than "no such directory".
        #expect(symlink("claimed", directories.claimed) == 0)
        #expect(throws: SystemError.self) { try missing("a") }
    }
}
