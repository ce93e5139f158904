import Foundation
import Testing

@testable import Orchestrator

/// A ledger, and attempts whose files a test writes as a supervisor would.
@Suite final class JobLogsTests {
    private let directory = LedgerDirectory()
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    private func logs(_ ledger: Ledger) -> JobLogs {
        JobLogs(ledger: ledger) { [path = scratch.path] in
            try AttemptDirectory(jobsDirectory: path, jobID: $0, attempt: $1)
        }
    }

    private func files(_ id: String, attempt: UInt32 = 1) throws -> AttemptDirectory {
        let files = try AttemptDirectory(jobsDirectory: scratch.path, jobID: id, attempt: attempt)
        try FileManager.default.createDirectory(atPath: files.path, withIntermediateDirectories: true)
        return files
    }

    private func append(_ text: String, to path: String) throws {
        if !FileManager.default.fileExists(atPath: path) { try Data().write(to: URL(filePath: path)) }
        let file = try FileHandle(forWritingTo: URL(filePath: path))
        try file.seekToEnd()
        try file.write(contentsOf: Data(text.utf8))
        try file.close()
    }

    private func text(_ cursor: LogCursor) async throws -> String {
        var bytes: [UInt8] = []
        while let piece = try await cursor.next() { bytes += piece.bytes }
        return String(decoding: bytes, as: UTF8.self)
    }

    private func refusal(_ body: () async throws -> Void) async -> OrchestratorError? {
        do {
            try await body()
            return nil
        } catch {
            return error as? OrchestratorError
        }
    }

    @Test func `a reader gets what is there, from its offset, and both streams marked`() async throws {
        let ledger = try directory.open()
        let logs = logs(ledger)
        _ = try await ledger.submit(JobSpec(id: "a"))
        _ = try await ledger.start("a")
        let files = try files("a")
        try append("0123456789", to: files.standardOutput)
        try append("error", to: files.standardError)

        #expect(try await text(logs.open(LogRequest(jobID: "a", stream: .stdout, offset: 4))) == "456789")
        let both = try await logs.open(LogRequest(jobID: "a"))
        var pieces: [LogPiece] = []
        while let piece = try await both.next() { pieces.append(piece) }
        #expect(
            pieces == [
                LogPiece(stream: .stdout, offset: 0, bytes: Array("0123456789".utf8), isTruncated: false),
                LogPiece(stream: .stderr, offset: 0, bytes: Array("error".utf8), isTruncated: false),
            ])
        await ledger.close()
    }

    @Test func `pieces are bounded, however large the file`() async throws {
        let ledger = try directory.open()
        let logs = logs(ledger)
        _ = try await ledger.submit(JobSpec(id: "a"))
        let whole = String(repeating: "x", count: 200_000)
        try append(whole, to: try files("a").standardOutput)
        try await ledger.run("a")
        let cursor = try await logs.open(LogRequest(jobID: "a", stream: .stdout))
        var sizes: [Int] = []
        while let piece = try await cursor.next() {
            #expect(piece.offset == UInt64(sizes.reduce(0, +)))
            sizes.append(piece.bytes.count)
        }
        #expect(sizes.reduce(0, +) == 200_000)
        #expect(sizes.allSatisfy { $0 <= LogFiles.pieceBytes })
        await ledger.close()
    }

    @Test(.timeLimit(.minutes(5)))
    func `a follower is woken by what is written, and ends with the attempt`() async throws {
        let ledger = try directory.open()
        let logs = logs(ledger)
        _ = try await ledger.submit(JobSpec(id: "a"))
        let cursor = try await logs.open(LogRequest(jobID: "a", stream: .stdout, follows: true))
        let reading = Task {
            var texts: [String] = []
            while let piece = try await cursor.next() { texts.append(String(decoding: piece.bytes, as: UTF8.self)) }
            return texts
        }
        _ = try await ledger.start("a")
        let files = try files("a")
        for part in ["one ", "two ", "three"] { try append(part, to: files.standardOutput) }
        _ = try await ledger.finish("a", attempt: 1, AttemptOutcome())
        #expect(try await reading.value.joined() == "one two three")
        #expect(logs.followers == 1)
        await ledger.close()
    }

    @Test(.timeLimit(.minutes(5)))
    func `a follower of an attempt ends with it, whatever the retries after it`() async throws {
        let ledger = try directory.open()
        let logs = logs(ledger)
        var spec = JobSpec(id: "a")
        spec.retry = RetryPolicy(maxAttempts: 3, initialBackoff: .seconds(1000), maxBackoff: nil, retryOn: [])
        _ = try await ledger.submit(spec)
        _ = try await ledger.start("a")
        try append("first", to: try files("a").standardOutput)
        let cursor = try await logs.open(LogRequest(jobID: "a", stream: .stdout, follows: true))
        _ = try await ledger.finish("a", attempt: 1, AttemptOutcome(exitCode: 1, failure: .exitCode))
        #expect(try await text(cursor) == "first")
        await ledger.close()
    }

    @Test(.timeLimit(.minutes(5))) func `a follower that leaves is forgotten`() async throws {
        let ledger = try directory.open()
        let logs = logs(ledger)
        _ = try await ledger.submit(JobSpec(id: "a"))
        _ = try await ledger.start("a")
        _ = try files("a")
        var cursor: LogCursor? = try await logs.open(LogRequest(jobID: "a", follows: true))
        #expect(logs.followers == 1)
        let reading = Task { [cursor] in try await cursor?.next() }
        cursor = nil
        reading.cancel()
        await #expect(throws: CancellationError.self) { _ = try await reading.value }
        try await eventually { logs.followers == 0 }
        await ledger.close()
    }

    @Test func `output over the cap is told with its beginning, its end and the mark between`() async throws {
        let ledger = try directory.open()
        let logs = logs(ledger)
        _ = try await ledger.submit(JobSpec(id: "a"))
        let files = try files("a")
        try append("begin", to: files.standardOutput)
        try append("end", to: files.standardOutputTail)
        try append("exit_code=0\nstdout_bytes=100\nstdout_truncated=1\nend=1\n", to: files.exit)
        try await ledger.run("a")
        let cursor = try await logs.open(LogRequest(jobID: "a", stream: .stdout))
        #expect(
            try await cursor.next()
                == LogPiece(stream: .stdout, offset: 0, bytes: Array("begin".utf8), isTruncated: false))
        #expect(
            try await cursor.next()
                == LogPiece(stream: .stdout, offset: 97, bytes: Array("end".utf8), isTruncated: true))
        #expect(try await cursor.next() == nil)
        // One that comes back with an offset in between goes on with the end.
        #expect(try await text(logs.open(LogRequest(jobID: "a", stream: .stdout, offset: 98))) == "nd")
        await ledger.close()
    }

    @Test func `output of a batch job over the cap is read on where its last pieces begin`() async throws {
        let ledger = try directory.open()
        let logs = logs(ledger)
        _ = try await ledger.submit(JobSpec(id: "a"))
        let files = try files("a")
        try append("begin", to: files.standardOutput)
        try append(String(repeating: "x", count: Int(OutputRest.pieceBytes)), to: files.standardOutput + ".rest.1")
        try append("end", to: files.standardOutput + ".rest.2")
        try await ledger.run("a")
        let cursor = try await logs.open(LogRequest(jobID: "a", stream: .stdout))
        var pieces: [LogPiece] = []
        while let piece = try await cursor.next() { pieces.append(piece) }
        let total = 5 + 2 * OutputRest.pieceBytes + 3
        #expect(pieces[0] == LogPiece(stream: .stdout, offset: 0, bytes: Array("begin".utf8), isTruncated: false))
        #expect(pieces[1].offset == 5 + OutputRest.pieceBytes)
        #expect(
            pieces.last == LogPiece(stream: .stdout, offset: total - 3, bytes: Array("end".utf8), isTruncated: true))
        let rest = pieces.dropFirst()
        #expect(rest.filter { !$0.isTruncated }.isEmpty)
        #expect(rest.map(\.bytes.count).reduce(0, +) == Int(OutputRest.pieceBytes) + 3)
        #expect(try await logs.offset(ofLast: 3, LogRequest(jobID: "a", stream: .stdout)) == total - 3)
        await ledger.close()
    }

    @Test(.timeLimit(.minutes(5))) func `a follower of a job on its way to Slurm waits for what it will write`()
        async throws
    {
        let ledger = try directory.open { $0.acceptsSlurm = true }
        let logs = logs(ledger)
        _ = try await ledger.submit(JobSpec(id: "a", jobClass: .gpuSlurm))
        let intended = try await ledger.slurm("a", attempt: 1, .intended(name: "dspy-a-1"))
        #expect(intended.isUnderWay(attempt: 1) && !intended.isUnderWay(attempt: 2))
        let cursor = try await logs.open(LogRequest(jobID: "a", stream: .stdout, follows: true))
        let reading = Task { try await cursor.next() }
        _ = try await ledger.slurm("a", attempt: 1, .accepted(slurmJobID: "7"))
        try append("first", to: try files("a").standardOutput)
        #expect(try await reading.value?.bytes == Array("first".utf8))
        let ended = try await ledger.slurm("a", attempt: 1, .ended(AttemptOutcome(), SlurmEnding()))
        #expect(!ended.isUnderWay(attempt: 1))
        #expect(try await cursor.next() == nil)
        await ledger.close()
    }

    @Test func `what can't be read is refused with its reason`() async throws {
        let ledger = try directory.open()
        let logs = logs(ledger)
        func kind(_ request: LogRequest) async -> OrchestratorError.Kind? {
            await refusal { _ = try await logs.open(request) }?.kind
        }
        #expect(await kind(LogRequest(jobID: "nobody")) == .notFound)
        _ = try await ledger.submit(JobSpec(id: "a"))
        #expect(await kind(LogRequest(jobID: "a")) == .failedPrecondition)
        #expect(await kind(LogRequest(jobID: "a", attempt: 1)) == .notFound)
        #expect(await kind(LogRequest(jobID: "a", offset: 3)) == .invalidArgument(field: "offset"))
        _ = try await ledger.start("a")
        try append("abc", to: try files("a").standardOutput)
        #expect(await kind(LogRequest(jobID: "a", stream: .stdout, offset: 4)) == .outOfRange(oldest: 0))
        #expect(await kind(LogRequest(jobID: "a", stream: .stdout, offset: 3)) == nil)
        _ = try await ledger.finish("a", attempt: 1, AttemptOutcome())
        #expect(await kind(LogRequest(jobID: "a", stream: .stdout, offset: 4)) == .outOfRange(oldest: 0))
        #expect(await kind(LogRequest(jobID: "a", attempt: 2)) == .notFound)

        try FileManager.default.removeItem(atPath: try files("a").path)
        let gone = await refusal { _ = try await logs.open(LogRequest(jobID: "a")) }
        #expect(gone?.kind == .outOfRange(oldest: 0))
        #expect(gone?.message.contains("no longer kept") == true)

        _ = try await ledger.submit(JobSpec(id: "b"))
        let waiting = try await logs.open(LogRequest(jobID: "b", follows: true))
        _ = try await ledger.cancel("b", reason: "", source: "rpc")
        #expect(await refusal { _ = try await waiting.next() }?.kind == .failedPrecondition)
        await ledger.close()
    }

    @Test func `an attempt that never had a process has no output, which is no error`() async throws {
        let ledger = try directory.open()
        let logs = logs(ledger)
        _ = try await ledger.submit(JobSpec(id: "a"))
        try await ledger.run("a", AttemptOutcome(failure: .runnerError, error: "no such program"))
        #expect(try await text(logs.open(LogRequest(jobID: "a"))) == "")
        await ledger.close()
    }
}
