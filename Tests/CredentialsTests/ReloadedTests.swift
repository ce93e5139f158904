import Foundation
import Logging
import Synchronization
import Testing

@testable import Credentials

@Suite struct ReloadedTests {
    /// A file of its own, taken away at the end.
    private final class Scratch: Sendable {
        let file: CredentialFile

        init(_ text: String) throws {
            file = CredentialFile(NSTemporaryDirectory() + "dspy-credentials-\(UUID().uuidString)", setting: "--file")
            try write(text)
        }

        deinit { try? FileManager.default.removeItem(atPath: file.path) }

        func write(_ text: String) throws { try Data(text.utf8).write(to: URL(fileURLWithPath: file.path)) }
        /// As deployment tools do it: a new file, moved in place.
        func replace(_ text: String) throws {
            try Data(text.utf8).write(to: URL(fileURLWithPath: file.path), options: .atomic)
        }
        func remove() throws { try FileManager.default.removeItem(atPath: file.path) }
    }

    private static let quiet = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

    private func number(_ scratch: Scratch, reads: @escaping @Sendable () -> Void = {}) throws -> Reloaded<Int> {
        let file = scratch.file
        return try Reloaded([file], logger: Self.quiet) { () throws(CredentialsError) in
            reads()
            guard let number = Int(String(decoding: try file.read(), as: UTF8.self)) else {
                throw file.error("holds no number")
            }
            return number
        }
    }

    @Test func `a changed file is read, whether written or moved in place`() throws {
        let scratch = try Scratch("1")
        let reloaded = try number(scratch)
        #expect(reloaded.value == 1)
        try scratch.write("22")
        reloaded.refresh()
        #expect(reloaded.value == 22)
        try scratch.replace("33")
        reloaded.refresh()
        #expect(reloaded.value == 33)
    }

    @Test func `a file that is as it was is not read`() throws {
        let scratch = try Scratch("1")
        let reads = Counter()
        let reloaded = try number(scratch) { reads.add() }
        for _ in 0..<3 { reloaded.refresh() }
        #expect(reads.count == 1)
    }

    @Test func `a broken or missing file leaves the last good value and says what is wrong, until it is mended`() throws
    {
        let scratch = try Scratch("1")
        let reloaded = try number(scratch)
        try scratch.replace("nonsense")
        reloaded.refresh()
        #expect(reloaded.value == 1)
        #expect(reloaded.failure?.contains("holds no number") == true)
        try scratch.remove()
        reloaded.refresh()
        #expect(reloaded.value == 1)
        #expect(reloaded.failure?.contains("no such file") == true)
        try scratch.write("4444")
        reloaded.refresh()
        #expect(reloaded.value == 4444 && reloaded.failure == nil)
    }

    @Test func `it starts with a good value or not at all`() throws {
        let scratch = try Scratch("nonsense")
        let error = #expect(throws: CredentialsError.self) { try number(scratch) }
        #expect(error?.message.contains("--file: \(scratch.file.path)") == true)
    }

    @Test func `it looks again at each interval, until it is cancelled`() async throws {
        let scratch = try Scratch("1")
        let (values, seen) = AsyncStream.makeStream(of: Void.self)
        let reloaded = try number(scratch) { seen.yield() }
        try scratch.replace("2")
        let clock = TickClock()
        let running = Task { await reloaded.run(every: .seconds(2), clock: clock) }
        var reads = values.makeAsyncIterator()
        await reads.next()
        await reads.next()
        running.cancel()
        await running.value
        #expect(reloaded.value == 2)
    }

    @Test(arguments: ["/dev/zero", "/", "/no/such/file"])
    func `what is no file is refused at once`(path: String) {
        let error = #expect(throws: CredentialsError.self) { try CredentialFile(path, setting: "--tls-key").read() }
        #expect(error?.message.hasPrefix("--tls-key: \(path) ") == true)
    }
}

private final class Counter: Sendable {
    private let value = Mutex(0)
    var count: Int { value.withLock { $0 } }
    func add() { value.withLock { $0 += 1 } }
}

/// Every sleep is over at once.
private struct TickClock: Clock {
    let minimumResolution: Duration = .zero
    var now: ContinuousClock.Instant { ContinuousClock.now }

    func sleep(until deadline: ContinuousClock.Instant, tolerance: Duration?) async throws {
        await Task.yield()
        try Task.checkCancellation()
    }
}
