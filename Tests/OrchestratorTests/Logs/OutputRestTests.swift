import Foundation
import Testing

@testable import Orchestrator

@Suite struct OutputRestTests {
    private static let piece = OutputRest.pieceBytes

    private func kept(_ pieces: (number: UInt64, bytes: UInt64)...) -> OutputRest? {
        OutputRest(pieces.map { OutputRest.Piece(number: $0.number, bytes: $0.bytes) }, of: "/j/stdout")
    }

    @Test func `a stream that fits into its file has none`() {
        #expect(kept() == nil)
    }

    @Test func `the first piece goes on where the file ends`() throws {
        let rest = try #require(kept((0, 10)))
        #expect(rest.total == 10 && rest.kept == 10)
        #expect(rest.place(of: 9)?.path == "/j/stdout.rest.0" && rest.place(of: 9)?.at == 9)
        #expect(rest.place(of: 10) == nil)
    }

    @Test func `pieces that are gone count, and those that are there are read one after the other`() throws {
        let rest = try #require(kept((8, 5), (7, Self.piece)))
        #expect(rest.total == 8 * Self.piece + 5 && rest.kept == Self.piece + 5)
        #expect(rest.place(of: Self.piece - 1)?.path == "/j/stdout.rest.7")
        #expect(rest.place(of: Self.piece + 2)?.path == "/j/stdout.rest.8" && rest.place(of: Self.piece + 2)?.at == 2)
    }

    @Test func `what does not join on to the newest is not read`() throws {
        for older in [(number: UInt64(5), bytes: Self.piece), (6, 100)] {
            #expect(try #require(kept(older, (7, 5))).kept == 5)
        }
    }

    @Test func `files of a directory are found by their names, and their end is read across them`() throws {
        let directory = NSTemporaryDirectory() + "output-rest-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let path = directory + "/stdout"
        for (name, count) in [
            ("stdout", 3), ("stdout.rest.1", Int(Self.piece)), ("stdout.rest.x", 9), ("stderr.rest.4", 9),
        ] {
            try Data(repeating: UInt8(ascii: "a"), count: count).write(to: URL(filePath: "\(directory)/\(name)"))
        }
        try Data("tail".utf8).write(to: URL(filePath: "\(path).rest.2"))
        let rest = try #require(OutputRest(of: path))
        #expect(rest.total == 2 * Self.piece + 4 && rest.kept == Self.piece + 4)
        #expect(rest.end(6) == Array("aatail".utf8))
        #expect(OutputRest(of: directory + "/stdin") == nil)
    }
}
