/// Which bytes of a stream are kept once its attempt is over: its beginning up to the cap and, when it wrote more, its end.
///
/// ```
/// 0 ────── kept            total - tail ────── total
///   stdout       (a gap)               stdout.tail
/// ```
struct LogExtent: Sendable, Equatable {
    /// Bytes of the beginning.
    let kept: UInt64
    /// Bytes the attempt wrote.
    let total: UInt64
    /// Bytes of the end that were kept aside.
    let tail: UInt64

    init(kept: UInt64, total: UInt64, tail: UInt64) {
        self.kept = kept
        // A record that is missing, or older than the file, says less than the file does.
        self.total = max(kept, total)
        self.tail = min(tail, self.total - kept)
    }

    enum Place: Equatable {
        case beginning
        /// `at` in the file of the end, which is `offset` in the stream.
        case tail(at: UInt64, offset: UInt64)
        case end
    }

    private var tailStart: UInt64 { total - tail }

    /// Where the byte at `offset`, or the next one kept, is.
    func place(of offset: UInt64) -> Place {
        if offset < kept { return .beginning }
        if offset >= total { return .end }
        let offset = max(offset, tailStart)
        return .tail(at: offset - tailStart, offset: offset)
    }

    /// Whether bytes before `offset` are gone.
    func isTruncated(at offset: UInt64) -> Bool { tailStart > kept && offset >= tailStart }
}
