import Glibc
import Logging
import Testing

@testable import Orchestrator

@Suite struct AttemptOutputTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    private func attempt(of id: String) throws -> String {
        let directory = try AttemptDirectory(jobsDirectory: scratch.path + "/jobs", jobID: id, attempt: 1)
        try WholeFile.makeDirectories(directory.path + "/work/deep")
        try WholeFile.write([UInt8](repeating: 65, count: 100_000), to: directory.standardOutput)
        try WholeFile.write([UInt8](repeating: 66, count: 50_000), to: directory.path + "/work/deep/file")
        return directory.path
    }

    @Test func `what an attempt left is measured to the last file, but not behind its links`() throws {
        let path = try attempt(of: "a")
        let other = try attempt(of: "b")
        #expect(symlink(other, path + "/work/link") == 0)
        let bytes = AttemptOutput.bytes(in: path)
        #expect(bytes >= 150_000 && bytes < 200_000)
        #expect(AttemptOutput.bytes(in: scratch.path + "/none") == 0)
    }

    @Test func `all of a job goes, closed directories too, and nothing behind its links`() throws {
        let path = try attempt(of: "a")
        let other = try attempt(of: "b")
        #expect(symlink(other, path + "/work/link") == 0 && symlink("/nowhere", path + "/work/broken") == 0)
        #expect(mkfifo(path + "/work/pipe", 0o600) == 0)
        #expect(chmod(path + "/work/deep", 0) == 0)
        AttemptOutput.remove(
            of: ["a", "never-there", "../jobs", ""], in: scratch.path + "/jobs",
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        #expect(!WholeFile.exists(String(path.dropLast(2))))
        #expect(WholeFile.exists(other + "/work/deep/file"))
    }
}
