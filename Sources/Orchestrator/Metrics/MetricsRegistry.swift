import Synchronization

/// Every number the server tells, declared once, with its help and the names of its labels. `/metrics` and the RPC's
/// GetMetrics both read `snapshot()`, so they can't disagree.
public final class MetricsRegistry: Sendable {
    public typealias Collector = @Sendable () -> [MetricFamily]

    private struct State {
        /// By name: the family itself, to answer a second declaration, and how to read it.
        var families: [String: (instance: any AnyObject & Sendable, read: @Sendable () -> MetricFamily)] = [:]
        var collectors: [Collector] = []
    }

    private let state = Mutex(State())

    public init() {}

    /// A number that only grows. Its name ends in `_total`.
    public func counter(
        _ name: String, help: String, labels: [String] = [], limit: Int = 1000
    ) -> InstrumentFamily<Counter> {
        precondition(name.hasSuffix("_total"), "the counter \(name) must end in _total")
        return declare(name, help, .counter, labels, limit) { Counter() }
    }

    /// A number that goes up and down.
    public func gauge(_ name: String, help: String, labels: [String] = [], limit: Int = 1000) -> InstrumentFamily<Gauge>
    {
        declare(name, help, .gauge, labels, limit) { Gauge() }
    }

    /// A distribution. `buckets` are upper bounds; +Inf is added by itself.
    public func histogram(
        _ name: String, help: String, labels: [String] = [], buckets: [Double], limit: Int = 1000
    ) -> InstrumentFamily<Histogram> {
        declare(name, help, .histogram, labels, limit) { Histogram(bounds: buckets) }
    }

    /// Numbers that live elsewhere. The closure is called at every snapshot, from any thread, and must be quick.
    public func collector(_ collect: @escaping Collector) {
        state.withLock { $0.collectors.append(collect) }
    }

    /// Every family, by name. A name that several sources tell of becomes one family; a series told twice is kept once,
    /// and what Prometheus would refuse is left out.
    public func snapshot() -> [MetricFamily] {
        let (families, collectors) = state.withLock { ($0.families.values.map(\.read), $0.collectors) }
        return Self.merged(families.map { $0() } + collectors.flatMap { $0() })
    }

    static func merged(_ families: [MetricFamily]) -> [MetricFamily] {
        var byName: [String: MetricFamily] = [:]
        var seen: [String: Set<[MetricLabel]>] = [:]
        for family in families where MetricName.isValid(family.name) {
            var merged = byName[family.name] ?? MetricFamily(family, samples: [])
            guard merged.kind == family.kind else { continue }
            for sample in family.samples where sample.labels.allSatisfy({ MetricName.isValidLabel($0.name) }) {
                if seen[family.name, default: []].insert(sample.labels).inserted { merged.samples.append(sample) }
            }
            byName[family.name] = merged
        }
        return byName.values.sorted { $0.name < $1.name }
    }

    private func declare<Child: Instrument>(
        _ name: String, _ help: String, _ kind: MetricFamily.Kind, _ labels: [String], _ limit: Int,
        _ make: @escaping @Sendable () -> Child
    ) -> InstrumentFamily<Child> {
        precondition(MetricName.isValid(name), "\(name) is no metric name")
        precondition(labels.allSatisfy(MetricName.isValidLabel), "\(labels) are no label names")
        return state.withLock { state in
            if let known = state.families[name] {
                guard let family = known.instance as? InstrumentFamily<Child>, family.labels == labels else {
                    preconditionFailure("\(name) is declared twice, with different kinds or labels")
                }
                return family
            }
            let family = InstrumentFamily(
                name: name, help: help, kind: kind, labels: labels, limit: limit, make: make)
            state.families[name] = (family, { family.family() })
            return family
        }
    }
}

extension MetricFamily {
    fileprivate init(_ other: MetricFamily, samples: [MetricSample]) {
        self.init(name: other.name, help: other.help, kind: other.kind, samples: samples)
    }
}
