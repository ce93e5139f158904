import Foundation

/// SplitMix64: the same seed gives the same numbers everywhere.
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// The fixed ones, which once found something or never did, and new ones for each run. `MODEL_SEED=N` in the
    /// environment is that one alone, `MODEL_RUNS=N` so many new ones.
    static let seeds: [UInt64] = {
        let environment = ProcessInfo.processInfo.environment
        if let seed = environment["MODEL_SEED"].flatMap({ UInt64($0) }) { return [seed] }
        let runs = environment["MODEL_RUNS"].flatMap { Int($0) } ?? 1
        return [1, 2, 3, 4, 5] + (0..<runs).map { _ in .random(in: 100...9_999_999) }
    }()
}

/// The shortest list of operations that still fails, as far as leaving out runs of them finds it.
func shrink<Operation>(
    _ operations: [Operation], tries: Int = 60, fails: ([Operation]) async -> Bool
) async -> [Operation] {
    var best = operations
    var left = tries
    var run = best.count / 2
    while run >= 1 {
        var start = 0
        while start < best.count, left > 0 {
            var shorter = best
            shorter.removeSubrange(start..<min(start + run, best.count))
            left -= 1
            if await fails(shorter) { best = shorter } else { start += run }
        }
        run /= 2
    }
    return best
}
