import Foundation
import Testing

@testable import Orchestrator

@Suite struct JSONLFileTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory.path + "/logs/events.jsonl" }

    private func contents() throws -> String { try String(contentsOfFile: path, encoding: .utf8) }

    private func write(_ text: String) throws {
        try FileManager.default.createDirectory(
            atPath: directory.path + "/logs", withIntermediateDirectories: true)
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    }

    @Test func `the directory and the file are made`() throws {
        var file = try JSONLFile.open(path: path)
        let last = try file.lastLine()
        #expect(last == nil)
        try file.append(Array("{}\n".utf8))
        try file.synchronize()
        #expect(try contents() == "{}\n")
    }

    @Test(arguments: [
        ("{\"a\":1}\n{\"b\":2}\n", "{\"a\":1}\n{\"b\":2}\n", "{\"b\":2}"),
        ("{\"a\":1}\n{\"b\":", "{\"a\":1}\n", "{\"a\":1}"),
        ("{\"a\":1}\n{\"b\":2}", "{\"a\":1}\n{\"b\":2}\n", "{\"b\":2}"),
        ("{\"a\"", "", nil),
        ("not json\n", "not json\n", "not json"),
    ])
    func `a torn last line is cut off, a whole one is ended`(before: String, after: String, last: String?) throws {
        try write(before)
        let file = try JSONLFile.open(path: path)
        #expect(try contents() == after)
        let found = try file.lastLine().map { String(decoding: $0, as: UTF8.self) }
        #expect(found == last)
    }

    @Test func `the last line is found however long the file is`() throws {
        let line = "{\"x\":\"\(String(repeating: "y", count: 1000))\"}"
        try write(String(repeating: line + "\n", count: 3000) + "{\"last\":1}\n")
        let last = try JSONLFile.open(path: path).lastLine()
        #expect(last == Array("{\"last\":1}".utf8))
    }

    @Test func `a line that is not ours is kept, however long`() throws {
        let foreign = String(repeating: "z", count: 2 << 20)
        try write(foreign)
        let file = try JSONLFile.open(path: path)
        let last = try file.lastLine()
        #expect(last == nil)
        #expect(try contents() == foreign + "\n")
    }

    @Test func `a file that was moved away is noticed`() throws {
        let file = try JSONLFile.open(path: path)
        let before = file.isInPlace
        try FileManager.default.moveItem(atPath: path, toPath: path + ".1")
        let after = file.isInPlace
        #expect(before && !after)
    }

    @Test func `a path that can't be written says which and why`() throws {
        try Data().write(to: URL(fileURLWithPath: directory.path + "/logs"))
        let error = #expect(throws: OrchestratorError.self) { _ = try JSONLFile.open(path: path) }
        #expect(error?.message.contains("/logs") == true)
    }

    @Test func `a full disk leaves no half line`() throws {
        // /dev/full answers every write with ENOSPC.
        try FileManager.default.createDirectory(atPath: directory.path + "/logs", withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: "/dev/full")
        var file = try JSONLFile.open(path: path)
        let error = #expect(throws: OrchestratorError.self) { try file.append(Array("{}\n".utf8)) }
        #expect(error?.message.contains("No space left") == true)
    }
}

/// A directory that goes when the test does.
final class TemporaryDirectory: Sendable {
    let path: String

    init() {
        path = NSTemporaryDirectory() + "dspy-orchestrator-" + UUID().uuidString
        try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}
