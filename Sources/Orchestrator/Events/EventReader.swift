/// What a read brought.
public enum ReadOutcome: Sendable, Equatable {
    /// So many bytes were copied; read again.
    case bytes(Int)
    /// Nothing now: wait for a waker, then read again. Register the waker before the first read.
    case caughtUp
    /// The next event is older than the ring: `EventLog.page`, then `supply`.
    case needsHistory
    /// Every listed job has had its terminal event.
    case ended
}

/// A cursor over the event log: what a subscriber is. It copies encoded events, in sequence order, none missed and none
/// repeated, into whatever room there is; an event that does not fit goes on in the next read.
///
/// Not Sendable: one owner at a time, which may hand it over. It keeps a position and no events, so ten thousand idle
/// ones cost next to nothing; where it stands is looked up anew in each read.
public final class EventReader {
    private let log: EventLog
    private let filter: EventFilter
    /// Sequence of the last event that was copied whole, or passed over.
    public private(set) var cursor: UInt64
    private let place: StreamPlaces.Place
    /// Bytes of the event after the cursor that were copied already.
    private var offset = 0
    /// nil when the stream has no end.
    private var awaited: AwaitedEnds?
    private var page: (page: EventPage, index: Int)?

    /// - Parameters:
    ///   - after: sequence of the last event not wanted; 0 is from the oldest kept.
    ///   - awaiting: with an end: the listed jobs whose terminal event lies after `after`.
    init(log: EventLog, after: UInt64, filter: EventFilter, awaiting: AwaitedEnds?) {
        self.log = log
        self.filter = filter
        cursor = after
        place = log.places.enter(at: after)
        awaited = awaiting
    }

    /// It reads no more: metrics forget it at once, whoever still holds it.
    public func close() { place.leave() }

    public func read(into target: UnsafeMutableRawBufferPointer) -> ReadOutcome {
        defer { place.move(to: cursor) }
        var written = 0
        func outcome(_ otherwise: ReadOutcome) -> ReadOutcome { written > 0 ? .bytes(written) : otherwise }

        while true {
            if let awaited, awaited.isEmpty { return outcome(.ended) }
            if written == target.count { return .bytes(written) }
            if page != nil {
                written += readPage(into: UnsafeMutableRawBufferPointer(rebasing: target[written...]))
                continue
            }
            switch log.ring.place(after: cursor) {
            case .caughtUp: return outcome(.caughtUp)
            case .older: return outcome(.needsHistory)
            case .segment(let segment, let indexes):
                let room = UnsafeMutableRawBufferPointer(rebasing: target[written...])
                written +=
                    filter.isAll && awaited == nil
                    ? readRun(segment, indexes, into: room) : readChosen(segment, indexes, into: room)
            }
        }
    }

    /// What `EventLog.page(after: cursor, …)` gave after `.needsHistory`. A page for another cursor is ignored.
    public func supply(_ page: EventPage) {
        guard page.after == cursor, self.page == nil else { return }
        self.page = (page, 0)
    }

    /// The filter to pass to `EventLog.page`.
    public var pageFilter: EventFilter { filter }

    /// All of them, as one piece.
    private func readRun(
        _ segment: EventSegment, _ indexes: Range<Int>, into target: UnsafeMutableRawBufferPointer
    ) -> Int {
        let start = segment.start(of: indexes.lowerBound) + offset
        let length = min(segment.start(of: indexes.upperBound) - start, target.count)
        if let base = target.baseAddress { segment.copy(from: start, count: length, to: base) }
        let consumed = segment.events(endingBy: start + length, limit: indexes.upperBound)
        if consumed > indexes.lowerBound { cursor = segment.firstSequence + UInt64(consumed) - 1 }
        offset = start + length - segment.start(of: consumed)
        return length
    }

    /// Event by event, as the filter says.
    private func readChosen(
        _ segment: EventSegment, _ indexes: Range<Int>, into target: UnsafeMutableRawBufferPointer
    ) -> Int {
        var written = 0
        for index in indexes {
            let record = segment.record(index)
            if filter.admits(type: record.type, jobID: record.jobID) {
                let start = segment.start(of: index) + offset
                let length = min(record.end - start, target.count - written)
                if let base = target.baseAddress { segment.copy(from: start, count: length, to: base + written) }
                written += length
                if start + length < record.end {
                    offset += length
                    return written
                }
            }
            pass(segment.firstSequence + UInt64(index), type: record.type, jobID: record.jobID)
            if let awaited, awaited.isEmpty { return written }
        }
        return written
    }

    private func readPage(into target: UnsafeMutableRawBufferPointer) -> Int {
        guard let (page, first) = page else { return 0 }
        var written = 0
        for index in first..<page.records.count {
            let record = page.records[index]
            if filter.admits(type: record.type, jobID: record.jobID) {
                let length = min(record.image.count - offset, target.count - written)
                record.image.withUnsafeBytes { image in
                    if length > 0, let source = image.baseAddress, let base = target.baseAddress {
                        (base + written).copyMemory(from: source + offset, byteCount: length)
                    }
                }
                written += length
                if offset + length < record.image.count {
                    offset += length
                    self.page?.index = index
                    return written
                }
            }
            pass(record.sequence, type: record.type, jobID: record.jobID)
            if let awaited, awaited.isEmpty { return written }
        }
        cursor = max(cursor, page.through)
        self.page = nil
        return written
    }

    private func pass(_ sequence: UInt64, type: EventType, jobID: String) {
        cursor = sequence
        offset = 0
        if type.isTerminal { awaited?.ended(jobID, at: sequence) }
    }
}
