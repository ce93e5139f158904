/// Which known name a mistyped one most likely means.
public enum NearestName {
    /// The known name with the fewest letters to add, leave out, change or swap, if they are at most a third of the
    /// name's; the first of several.
    public static func of(_ name: String, in known: some Sequence<String>) -> String? {
        let limit = max(1, name.count / 3)
        var nearest: (name: String, distance: Int)?
        for candidate in known {
            let distance = distance(Array(name), Array(candidate))
            if distance <= limit, distance < nearest?.distance ?? Int.max { nearest = (candidate, distance) }
        }
        return nearest?.name
    }

    /// Optimal string alignment.
    private static func distance(_ left: [Character], _ right: [Character]) -> Int {
        var before: [Int] = []
        var above = Array(0...right.count)
        for row in left.indices {
            var current = [row + 1]
            for column in right.indices {
                let changed = above[column] + (left[row] == right[column] ? 0 : 1)
                var best = min(changed, above[column + 1] + 1, current[column] + 1)
                if row > 0, column > 0, left[row] == right[column - 1], left[row - 1] == right[column] {
                    best = min(best, before[column - 1] + 1)
                }
                current.append(best)
            }
            (before, above) = (above, current)
        }
        return above[right.count]
    }
}
