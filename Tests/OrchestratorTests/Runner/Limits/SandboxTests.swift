import Glibc
import Testing

@testable import Orchestrator

/// Whether this machine's kernel can hold a sandbox.
private enum SandboxSupport {
    static let isThere: Bool = {
        guard let supervisor = try? SupervisorProgram.find(nil) else { return false }
        return (try? Sandbox.check(supervisor: supervisor)) != nil
    }()
}

/// Real commands in the sandbox. Its kernel is one with Landlock, or the tests say so and pass over.
@Suite(.enabled(if: SandboxSupport.isThere, "this kernel has no Landlock")) struct SandboxTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    private func output(_ script: String, _ sandbox: Sandbox = Sandbox()) async throws -> String {
        let runner = try scratch.runner { $0.sandboxes = [.cpuShort: sandbox] }
        let job = scratch.job(shell: script, timeout: .seconds(60))
        let outcome = await runner.run(job).outcome
        #expect(outcome == AttemptOutcome())
        let directory = try runner.directory(jobID: job.id, attempt: 1)
        return String(decoding: try WholeFile.read(directory.standardOutput, limit: 1 << 16), as: UTF8.self)
    }

    @Test func `nothing is written outside of its own directory`() async throws {
        let outside = scratch.path + "/outside"
        try WholeFile.makeDirectories(outside)
        try WholeFile.write([1], to: outside + "/mine")
        let script = """
            echo in > here && cat here
            echo private > "$TMPDIR/there" && cat "$TMPDIR/there"
            ( echo out > \(outside)/new ) 2>/dev/null || echo refused
            ( : > \(outside)/mine ) 2>/dev/null || echo kept
            rm -f \(outside)/mine 2>/dev/null || echo still
            ( echo x > /tmp/dspy-sandbox-test ) 2>/dev/null || echo private
            ( echo x > ../exit ) 2>/dev/null || echo honest
            echo gone > /dev/null && echo null
            """
        #expect(try await output(script) == "in\nprivate\nrefused\nkept\nstill\nprivate\nhonest\nnull\n")
        #expect(try WholeFile.read(outside + "/mine", limit: 8) == [1])
    }

    @Test func `there is no network`() async throws {
        let script = """
            python3 -c 'import socket
            for kind in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK):
                try:
                    socket.socket(kind, socket.SOCK_DGRAM)
                except PermissionError:
                    print("refused")
            socket.socketpair()
            print("pair")'
            """
        #expect(try await output(script) == "refused\nrefused\nrefused\npair\n")
    }

    @Test func `the network is there where the configuration allows it`() async throws {
        let script = "python3 -c 'import socket; socket.socket(); print(1)'"
        #expect(try await output(script, Sandbox(allowsNetwork: true)) == "1\n")
    }

    @Test func `there are no new privileges`() async throws {
        #expect(try await output("grep NoNewPrivs /proc/self/status") == "NoNewPrivs:\t1\n")
    }

    @Test func `what is not readable is hidden, and more can be made writable`() async throws {
        let shared = scratch.path + "/shared"
        let secret = scratch.path + "/secret"
        try WholeFile.makeDirectories(shared)
        try WholeFile.write(Array("s".utf8), to: secret)
        let sandbox = Sandbox(
            readable: ["/usr", "/bin", "/lib", "/lib64", "/etc", "/no/such"], writable: [shared])
        let script = "cat \(secret) 2>/dev/null || echo hidden; echo new > \(shared)/file && cat \(shared)/file"
        #expect(try await output(script, sandbox) == "hidden\nnew\n")
    }

    @Test func `a result file works, and the exact signal is told`() async throws {
        let runner = try scratch.runner { $0.sandboxes = [.cpuShort: Sandbox()] }
        let result = await runner.run(scratch.job(shell: "echo 7 > $DSPY_RESULT_PATH", id: "result")).outcome
        #expect(result == AttemptOutcome(result: Array("7".utf8)))
        let signal = await runner.run(scratch.job(shell: "kill -SEGV $$", id: "signal")).outcome
        #expect(signal?.signal == SIGSEGV)
    }

    @Test func `other processes can't be signalled`() async throws {
        #expect(try await output("kill -0 \(getpid()) 2>/dev/null || echo refused") == "refused\n")
    }
}
