import Synchronization

/// A run of encoded events in one piece of memory, appended to by the ledger's writer and copied from by any number of
/// readers without a lock.
///
/// `@unchecked Sendable`: the one writer appends behind the published end, then moves the end with a releasing store.
/// Readers load the end (acquiring) and touch only what lies before it, which never changes again. The memory lives as
/// long as the object.
final class EventSegment: @unchecked Sendable {
    struct Record {
        /// Past the event's last byte.
        var end: Int
        var type: EventType
        var jobID: String
    }

    let firstSequence: UInt64
    private let bytes: UnsafeMutableRawPointer
    /// Bytes it can hold.
    let capacity: Int
    private let records: UnsafeMutablePointer<Record>
    private let recordCapacity: Int
    private let published = Atomic<Int>(0)

    init(firstSequence: UInt64, byteCapacity: Int, recordCapacity: Int) {
        self.firstSequence = firstSequence
        capacity = byteCapacity
        self.recordCapacity = recordCapacity
        bytes = .allocate(byteCount: max(byteCapacity, 1), alignment: 16)
        records = .allocate(capacity: recordCapacity)
    }

    deinit {
        records.deinitialize(count: published.load(ordering: .acquiring))
        records.deallocate()
        bytes.deallocate()
    }

    /// Events in it.
    var count: Int { published.load(ordering: .acquiring) }

    /// The writer only. False when it does not fit.
    func append(_ image: [UInt8], type: EventType, jobID: String) -> Bool {
        let count = published.load(ordering: .relaxed)
        let start = start(of: count)
        guard count < recordCapacity, start + image.count <= capacity else { return false }
        image.withUnsafeBytes { source in
            if let base = source.baseAddress { (bytes + start).copyMemory(from: base, byteCount: source.count) }
        }
        (records + count).initialize(to: Record(end: start + image.count, type: type, jobID: jobID))
        published.store(count + 1, ordering: .releasing)
        return true
    }

    /// Offset of an event's first byte; of the end when `index` is the count.
    func start(of index: Int) -> Int { index == 0 ? 0 : records[index - 1].end }

    /// `index` below `count`.
    func record(_ index: Int) -> Record { records[index] }

    func copy(from offset: Int, count: Int, to target: UnsafeMutableRawPointer) {
        target.copyMemory(from: bytes + offset, byteCount: count)
    }

    /// Of the events before `limit`, how many end at or before `offset`.
    func events(endingBy offset: Int, limit: Int) -> Int {
        var (low, high) = (0, limit)
        while low < high {
            let middle = (low + high) / 2
            if records[middle].end <= offset { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
