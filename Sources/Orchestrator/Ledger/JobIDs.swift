import CLinux
import Synchronization

/// Makes job ids, with the system's random numbers fetched many at a time: a system call for each would cost more than the
/// rest of the id.
final class JobIDs: Sendable {
    private static let stock = 256

    /// Random words not yet used.
    private let words = Mutex<[UInt64]>([])

    func next(at time: Timestamp) -> String {
        let random = words.withLock { words in
            if words.count < 2 { words = Self.randomWords() }
            return (words.removeLast(), words.removeLast())
        }
        return JobID.make(at: time, random: random)
    }

    private static func randomWords() -> [UInt64] {
        [UInt64](unsafeUninitializedCapacity: stock) { words, count in
            count = stock
            var bytes = UnsafeMutableRawBufferPointer(words)
            while !bytes.isEmpty {
                let got = clinux_getrandom(bytes.baseAddress, bytes.count)
                // Only an interrupted call fails.
                if got > 0 { bytes = UnsafeMutableRawBufferPointer(rebasing: bytes[got...]) }
            }
        }
    }
}
