import HeapModule

/// In which order the jobs of one batch are applied: parents before the jobs that depend on them, otherwise as they came.
/// Only within a batch can jobs depend on each other in a circle, for elsewhere a parent must be there first.
struct DependencyOrder {
    /// Positions in the batch.
    private(set) var order: [Int] = []
    /// By position: jobs that are in a circle, or wait for one that is, and the circle.
    private(set) var circles: [Int: [String]] = [:]

    init(_ specs: [JobSpec]) {
        guard specs.contains(where: { !$0.dependsOn.isEmpty }) else {
            order = Array(specs.indices)
            return
        }
        var first: [String: Int] = [:]
        for (index, spec) in specs.enumerated() where !spec.id.isEmpty && first[spec.id] == nil {
            first[spec.id] = index
        }
        var parents = specs.map { spec in spec.dependsOn.compactMap { first[$0] } }
        var children: [[Int]] = Array(repeating: [], count: specs.count)
        for (child, parents) in parents.enumerated() {
            for parent in parents { children[parent].append(child) }
        }
        var waits = parents.map(\.count)
        var ready = Heap(waits.indices.filter { waits[$0] == 0 })
        while let next = ready.popMin() {
            order.append(next)
            for child in children[next] {
                waits[child] -= 1
                if waits[child] == 0 { ready.insert(child) }
            }
        }
        for index in waits.indices where waits[index] > 0 {
            // Only edges within what is left lead back to it.
            parents[index].removeAll { waits[$0] == 0 }
        }
        for index in waits.indices where waits[index] > 0 {
            circles[index] = Self.circle(from: index, parents).map { specs[$0].id }
        }
    }

    /// Every job here has a parent here, so going from parent to parent comes round.
    private static func circle(from start: Int, _ parents: [[Int]]) -> [Int] {
        var path: [Int] = []
        var places: [Int: Int] = [:]
        var at = start
        while let next = parents[at].first {
            if let place = places[at] { return Array(path[place...]) }
            places[at] = path.count
            path.append(at)
            at = next
        }
        return path
    }
}

extension OrchestratorError {
    static func dependencyCircle(_ ids: [String]) -> OrchestratorError {
        let shown =
            ids.prefix(8).map(\.debugDescription) + (ids.count > 8 ? ["…"] : []) + ids.prefix(1).map(\.debugDescription)
        return .invalidArgument(
            "depends_on", "depends_on goes round in a circle: \(shown.joined(separator: " → ")); leave one of them out")
    }
}
