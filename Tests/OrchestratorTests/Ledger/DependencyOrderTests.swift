import Testing

@testable import Orchestrator

@Suite struct DependencyOrderTests {
    func order(_ edges: [(String, [String])]) -> DependencyOrder {
        DependencyOrder(edges.map { JobSpec(id: $0.0, dependsOn: $0.1) })
    }

    @Test func `jobs that do not depend on each other stay as they came`() {
        #expect(order([("c", []), ("a", ["elsewhere"]), ("", []), ("b", [])]).order == [0, 1, 2, 3])
    }

    @Test func `parents come first, and nothing else changes its place`() {
        let order = order([("d", ["b", "c"]), ("x", []), ("c", ["a"]), ("b", ["a"]), ("a", []), ("y", [])])
        #expect(order.order == [1, 4, 2, 3, 0, 5])
        #expect(order.circles.isEmpty)
    }

    @Test func `a circle is named to each job in it and to each that waits for it`() {
        let order = order([
            ("ok", []), ("a", ["c", "ok"]), ("b", ["a"]), ("c", ["b"]), ("after", ["b"]), ("self", ["self"]),
        ])
        #expect(order.order == [0])
        #expect(order.circles[1] == ["a", "c", "b"])
        #expect(order.circles[4] == ["b", "a", "c"])
        #expect(order.circles[5] == ["self"])
        #expect(OrchestratorError.dependencyCircle(["a", "c"]).message.contains(#""a" → "c" → "a""#))
    }

    @Test func `a chain of a hundred thousand is put in order`() {
        let count = 100_000
        let specs = (0..<count).map { JobSpec(id: "\($0)", dependsOn: $0 + 1 < count ? ["\($0 + 1)"] : []) }
        #expect(DependencyOrder(specs).order == Array((0..<count).reversed()))
    }
}
