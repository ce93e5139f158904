import DequeModule
import Synchronization

/// The newest events, encoded, in segments: bounded by number and by bytes, the oldest segment going first. The lock
/// guards only the list of segments.
final class EventRing: Sendable {
    private struct State {
        var segments: Deque<EventSegment> = []
        var bytes = 0
        var lastSequence: UInt64
    }

    enum Place {
        /// The event after the cursor is in this segment, at the first of these indexes; the others are those after it
        /// that may be read.
        case segment(EventSegment, Range<Int>)
        /// There is none yet.
        case caughtUp
        /// It is older than the ring.
        case older
    }

    private let state: Mutex<State>
    private let maxEvents: Int
    private let maxBytes: Int
    private let segmentEvents: Int
    private let segmentBytes: Int

    init(maxEvents: Int, maxBytes: Int, lastSequence: UInt64) {
        self.maxEvents = max(maxEvents, 1)
        self.maxBytes = maxBytes
        segmentEvents = min(512, max(1, maxEvents / 8))
        segmentBytes = min(64 << 10, max(1, maxBytes / 8))
        state = Mutex(State(lastSequence: lastSequence))
    }

    /// Of the newest event that may be read; before the first, what the ring was made with.
    var lastSequence: UInt64 { state.withLock { $0.lastSequence } }

    /// The writer only; the events that come after the newest.
    func append(_ events: [Event], encode: (Event) -> [UInt8]) {
        var current = state.withLock { $0.segments.last }
        for event in events {
            let image = encode(event)
            if let current, current.append(image, type: event.type, jobID: event.jobID) { continue }
            current = addSegment(beginningWith: image, of: event)
        }
        guard let last = events.last?.sequence else { return }
        state.withLock { $0.lastSequence = last }
    }

    private func addSegment(beginningWith image: [UInt8], of event: Event) -> EventSegment {
        let capacity = max(segmentBytes, image.count)
        let segment = EventSegment(
            firstSequence: event.sequence, byteCapacity: capacity, recordCapacity: segmentEvents)
        _ = segment.append(image, type: event.type, jobID: event.jobID)
        // Segments that leave are freed outside the lock.
        let gone = state.withLock { state in
            state.segments.append(segment)
            state.bytes += capacity
            var gone: [EventSegment] = []
            while state.segments.count > 1, let first = state.segments.first, isTooMuch(state, without: first) {
                state.bytes -= first.capacity
                gone.append(first)
                state.segments.removeFirst()
            }
            return gone
        }
        withExtendedLifetime(gone) {}
        return segment
    }

    /// Whether the ring is over its bounds, the newest segment being counted as full.
    private func isTooMuch(_ state: State, without first: EventSegment) -> Bool {
        guard let newest = state.segments.last else { return false }
        let events = Int(newest.firstSequence - first.firstSequence) + segmentEvents
        return events > maxEvents || state.bytes > maxBytes
    }

    func place(after cursor: UInt64) -> Place {
        state.withLock { state in
            if cursor >= state.lastSequence { return .caughtUp }
            guard let oldest = state.segments.first, cursor + 1 >= oldest.firstSequence else { return .older }
            var (low, high) = (0, state.segments.count - 1)
            while low < high {
                let middle = (low + high + 1) / 2
                if state.segments[middle].firstSequence <= cursor + 1 { low = middle } else { high = middle - 1 }
            }
            let segment = state.segments[low]
            // Not those of a batch that is still being appended: a cursor is never ahead of `lastSequence`.
            let end = min(segment.count, Int(state.lastSequence + 1 - segment.firstSequence))
            return .segment(segment, Int(cursor + 1 - segment.firstSequence)..<end)
        }
    }
}
