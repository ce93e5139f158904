import Glibc

/// What an attempt left in its directory.
struct AttemptRemains: Sendable {
    let directory: AttemptDirectory
    /// Whether a batch job's wrapper left it, which keeps the end of its output in pieces.
    var isBatch = false

    enum Trace: Sendable {
        case recorded(ExitRecord)
        /// Somebody holds the lock: the one with this identity, once that is written.
        case supervised(ProcessIdentity?)
        /// Nothing was ever executed.
        case untouched
        /// Begun, not ended, and nobody there.
        case abandoned
    }

    var trace: Trace {
        // The lock first: a supervisor that ends between the two looks has left its record.
        let isSupervised = isLocked
        if let record { return .recorded(record) }
        let identity = (try? WholeFile.read(directory.pid, limit: 4096)).flatMap { ProcessIdentity(parsing: $0) }
        if isSupervised { return .supervised(identity) }
        return WholeFile.exists(directory.pid) ? .abandoned : .untouched
    }

    private var isLocked: Bool {
        let lock = open(directory.lock, O_RDWR | O_CLOEXEC)
        guard lock >= 0 else { return false }
        defer { close(lock) }
        return flock(lock, LOCK_EX | LOCK_NB) != 0
    }

    /// nil when there is none, or half of one.
    var record: ExitRecord? {
        (try? WholeFile.read(directory.exit, limit: 4096)).flatMap { ExitRecord(parsing: $0) }
    }

    /// - Parameter cap: bytes, at most.
    func result(_ record: ExitRecord, cap: Int) -> AttemptResult {
        if case .notStarted = record.end { return .none }
        do {
            let result = AttemptResult.file(try WholeFile.read(directory.result, limit: cap + 1), cap: cap)
            if result != .none { return result }
        } catch  where error.code != ENOENT {
            return .unusable("the result file ($DSPY_RESULT_PATH) can't be read: \(SystemError.words(error.code))")
        } catch {}
        // Room for the marker and some lines after it.
        let limit = cap + 64 << 10
        let tail = tail(
            directory.standardOutput, record.outputTruncated ? directory.standardOutputTail : nil, limit,
            seen: Int64(clamping: record.outputBytes))
        return AttemptResult.output(tail: tail.bytes, isWhole: tail.isWhole, cap: cap)
    }

    /// The last 16 KiB of standard error.
    func errorTail(_ record: ExitRecord) -> [UInt8] {
        tail(directory.standardError, record.errorTruncated ? directory.standardErrorTail : nil, 16 << 10).bytes
    }

    /// The end of an output stream: of its file, and of what the supervisor kept aside when the file was full.
    private func tail(
        _ path: String, _ aside: String?, _ limit: Int, seen: Int64 = .max
    ) -> (bytes: [UInt8], isWhole: Bool) {
        func end(of path: String, _ limit: Int) -> [UInt8] {
            (try? WholeFile.read(path, from: -Int64(limit), limit: limit)) ?? []
        }
        func size(of path: String) -> Int64 { (try? WholeFile.facts(path).size) ?? 0 }
        if isBatch, let rest = OutputRest(of: path) {
            let dropped = rest.end(limit)
            let kept = end(of: path, limit - dropped.count)
            return (kept + dropped, UInt64(kept.count + dropped.count) == rest.total + UInt64(size(of: path)))
        }
        guard let aside else {
            let bytes = end(of: path, limit)
            return (bytes, bytes.count < limit)
        }
        // As long as little was dropped, the one goes on where the other ends.
        let dropped = end(of: aside, limit)
        let bytes = end(of: path, limit - dropped.count) + dropped
        // All of it when a full disk, rather than the cap, stopped the file.
        return (bytes, Int64(bytes.count) == seen)
    }
}
