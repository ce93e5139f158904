import Synchronization

/// Where the subscribers of the event log stand, for metrics: each tells what it has read.
public final class StreamPlaces: Sendable {
    fileprivate final class Cursor: Sendable {
        let sequence: Atomic<UInt64>
        init(_ sequence: UInt64) { self.sequence = Atomic(sequence) }
    }

    /// One subscriber's place, until it leaves.
    final class Place: Sendable {
        private let cursor: Cursor
        private let places: StreamPlaces

        fileprivate init(_ cursor: Cursor, in places: StreamPlaces) {
            self.cursor = cursor
            self.places = places
        }

        deinit { leave() }

        /// To the last event read, or passed over.
        func move(to sequence: UInt64) { cursor.sequence.store(sequence, ordering: .relaxed) }

        /// It reads no more.
        func leave() { places.cursors.withLock { _ = $0.removeValue(forKey: ObjectIdentifier(cursor)) } }
    }

    private let cursors = Mutex<[ObjectIdentifier: Cursor]>([:])

    init() {}

    func enter(at sequence: UInt64) -> Place {
        let cursor = Cursor(sequence)
        cursors.withLock { $0[ObjectIdentifier(cursor)] = cursor }
        return Place(cursor, in: self)
    }

    public var count: Int { cursors.withLock { $0.count } }

    /// Sequence of the last event that the slowest has read; nil without subscribers.
    public var slowest: UInt64? {
        cursors.withLock { cursors in cursors.values.lazy.map { $0.sequence.load(ordering: .relaxed) }.min() }
    }
}
