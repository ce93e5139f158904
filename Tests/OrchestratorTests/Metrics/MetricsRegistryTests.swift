import Testing

@testable import Orchestrator

@Suite struct MetricsRegistryTests {
    @Test func `a declared metric without labels is there at zero`() {
        let registry = MetricsRegistry()
        _ = registry.counter("jobs_total", help: "Jobs.")
        #expect(registry.snapshot() == [MetricFamily(name: "jobs_total", help: "Jobs.", kind: .counter, value: 0)])
    }

    @Test func `the same declaration gives the same series`() {
        let registry = MetricsRegistry()
        registry.counter("jobs_total", help: "Jobs.", labels: ["class"])["gpu"].increment()
        registry.counter("jobs_total", help: "Jobs.", labels: ["class"])["gpu"].increment(by: 2)
        #expect(registry.counter("jobs_total", help: "Jobs.", labels: ["class"])["gpu"].total == 3)
    }

    @Test func `series beyond the limit are counted under other`() {
        let registry = MetricsRegistry()
        let family = registry.counter("calls_total", help: "Calls.", labels: ["method"], limit: 3)
        for number in 0..<1000 { family["m\(number)"].increment() }
        family["m1"].increment()
        let samples = registry.snapshot()[0].samples
        #expect(samples.count == 4)
        #expect(samples.contains(MetricSample(labels: [MetricLabel("method", "other")], value: .number(997))))
        #expect(samples.contains(MetricSample(labels: [MetricLabel("method", "m1")], value: .number(2))))
    }

    @Test func `updates from many tasks are all counted`() async {
        let registry = MetricsRegistry()
        let counter = registry.counter("a_total", help: "A.", labels: ["x"])
        let gauge = registry.gauge("b", help: "B.")
        let histogram = registry.histogram("c", help: "C.", buckets: [1])
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<8 {
                group.addTask {
                    for _ in 0..<1000 {
                        counter["\(task % 2)"].increment()
                        gauge[].add(task % 2 == 0 ? 1 : -1)
                        histogram[].observe(0.5)
                    }
                }
            }
        }
        #expect(counter["0"].total == 4000)
        #expect(gauge[].current == 0)
        #expect(histogram[].snapshot.count == 8000)
        #expect(histogram[].snapshot.sum == 4000)
    }

    @Test func `a collector's numbers stand beside the registry's own, and no series comes twice`() {
        let registry = MetricsRegistry()
        registry.gauge("depth", help: "Depth.", labels: ["class"])["gpu"].set(5)
        registry.collector {
            [
                MetricFamily(
                    name: "depth", help: "Another's.", kind: .gauge,
                    samples: [
                        MetricSample(labels: [MetricLabel("class", "gpu")], value: .number(7)),
                        MetricSample(labels: [MetricLabel("class", "cpu")], value: .number(1)),
                    ]),
                MetricFamily(name: "depth", help: "Another kind.", kind: .counter, value: 1),
                MetricFamily(name: "not a name", help: "Refused.", kind: .gauge, value: 1),
                MetricFamily(name: "a_total", help: "Elsewhere.", kind: .counter, value: 2),
            ]
        }
        let families = registry.snapshot()
        #expect(families.map(\.name) == ["a_total", "depth"])
        #expect(families[1].help == "Depth.")
        #expect(
            families[1].samples == [
                MetricSample(labels: [MetricLabel("class", "gpu")], value: .number(5)),
                MetricSample(labels: [MetricLabel("class", "cpu")], value: .number(1)),
            ])
    }

    @Test(arguments: [("a", true), ("_a:b9", true), ("9a", false), ("", false), ("a-b", false), ("é", false)])
    func `names are what Prometheus allows`(name: String, valid: Bool) {
        #expect(MetricName.isValid(name) == valid)
    }

    @Test(arguments: [("le", true), ("__name__", false), ("a:b", false), ("", false)])
    func `label names are what Prometheus allows`(name: String, valid: Bool) {
        #expect(MetricName.isValidLabel(name) == valid)
    }
}
