import Glibc
import Testing

@testable import Orchestrator

@Suite struct ProgramRunTests {
    /// A program may outlive the server: with one of its sockets, the next server could not listen on the same port.
    @Test func `a program has no descriptor of the server's but the one that it is given`() throws {
        // Not close-on-exec, as NIO's sockets are not.
        let zero = Glibc.open("/dev/zero", O_RDONLY)
        defer { close(zero) }
        try #require(zero >= 0)
        func links(inherited: Int32?) throws -> [String] {
            let run = try ProgramRun.run(
                "/bin/sh", ["-c", "for fd in /proc/$$/fd/*; do readlink $fd; done"],
                environment: ["PATH": "/bin:/usr/bin"],
                timeout: .seconds(30), inherited: inherited)
            return String(decoding: run.standardOutput, as: UTF8.self).split(separator: "\n").map(String.init)
        }
        let alone = try links(inherited: nil)
        #expect(alone.count == 3, "\(alone)")
        #expect(alone.first == "/dev/null" && alone.dropFirst().allSatisfy { $0.hasPrefix("pipe:") })
        #expect(try links(inherited: zero).dropFirst(3) == ["/dev/zero"])
    }
}
