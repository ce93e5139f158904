import Dispatch
import Glibc
import Synchronization

/// The output files of attempts, read a bounded piece at a time on threads of their own: neither an event loop nor the
/// pool of tasks waits for a disk. A file is open only while a piece is read, so ten thousand readers hold none.
final class LogFiles: Sendable {
    /// Of one piece. Bytes.
    static let pieceBytes = 64 << 10

    private let queues = (0..<4).map { DispatchQueue(label: "logs.\($0)", qos: .userInitiated) }
    private let turn = Atomic<Int>(0)

    /// nil while there is no directory.
    func exists(_ directory: AttemptDirectory) async -> Bool {
        await queue.run { WholeFile.exists(directory.path) }
    }

    /// Bytes in the file now; 0 when there is none.
    func size(_ stream: LogStream, in directory: AttemptDirectory) async throws -> UInt64 {
        try await queue.run { Result { try Self.size(directory.file(stream)) } }.get()
    }

    /// What is kept of an attempt that is over.
    func extent(_ stream: LogStream, in directory: AttemptDirectory) async throws -> LogExtent {
        try await queue.run {
            Result {
                let kept = try Self.size(directory.file(stream))
                if let rest = OutputRest(of: directory.file(stream)) {
                    return LogExtent(kept: kept, total: kept + rest.total, tail: rest.kept)
                }
                let record = AttemptRemains(directory: directory).record
                let total = stream == .stdout ? record?.outputBytes : record?.errorBytes
                return LogExtent(
                    kept: kept, total: UInt64(clamping: total ?? 0),
                    tail: try Self.size(directory.tailFile(stream)))
            }
        }.get()
    }

    /// At most `limit` bytes of the beginning; empty at its end, and when there is no file.
    func beginning(
        _ stream: LogStream, in directory: AttemptDirectory, from offset: UInt64, limit: Int = LogFiles.pieceBytes
    ) async throws -> [UInt8] {
        try await read(directory.file(stream), from: offset, limit: limit)
    }

    func tail(_ stream: LogStream, in directory: AttemptDirectory, from offset: UInt64) async throws -> [UInt8] {
        let rest = await queue.run { OutputRest(of: directory.file(stream)) }
        guard let rest else { return try await read(directory.tailFile(stream), from: offset, limit: Self.pieceBytes) }
        guard let (path, at) = rest.place(of: offset) else { return [] }
        return try await read(path, from: at, limit: Self.pieceBytes)
    }

    private var queue: DispatchQueue {
        queues[turn.wrappingAdd(1, ordering: .relaxed).newValue & (queues.count - 1)]
    }

    private func read(_ path: String, from offset: UInt64, limit: Int) async throws -> [UInt8] {
        try await queue.run {
            Result {
                try Self.orMissing([]) { () throws(SystemError) in
                    try WholeFile.read(path, from: Int64(clamping: offset), limit: min(limit, Self.pieceBytes))
                }
            }
        }.get()
    }

    private static func size(_ path: String) throws(SystemError) -> UInt64 {
        try orMissing(0) { () throws(SystemError) in
            let facts = try WholeFile.facts(path)
            return facts.isRegular ? UInt64(clamping: facts.size) : 0
        }
    }

    private static func orMissing<Value>(
        _ value: Value, _ body: () throws(SystemError) -> Value
    ) throws(SystemError) -> Value {
        do {
            return try body()
        } catch {
            if error.code == ENOENT || error.code == ENOTDIR { return value }
            throw error
        }
    }
}

extension AttemptDirectory {
    fileprivate func file(_ stream: LogStream) -> String { stream == .stdout ? standardOutput : standardError }
    fileprivate func tailFile(_ stream: LogStream) -> String {
        stream == .stdout ? standardOutputTail : standardErrorTail
    }
}
