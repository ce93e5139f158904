import Synchronization

/// The instruments of one metric, told apart by the values of its labels.
public final class InstrumentFamily<Child: Instrument>: Sendable {
    public let name: String
    public let help: String
    public let kind: MetricFamily.Kind
    public let labels: [String]
    /// Series beyond this many are counted together under "other", so that no input can grow the server.
    public let limit: Int

    private let make: @Sendable () -> Child
    private let children = Mutex<[[String]: Child]>([:])

    init(
        name: String, help: String, kind: MetricFamily.Kind, labels: [String], limit: Int,
        make: @escaping @Sendable () -> Child
    ) {
        self.name = name
        self.help = help
        self.kind = kind
        self.labels = labels
        self.limit = limit
        self.make = make
        // A metric without labels is there at zero from the start.
        if labels.isEmpty { _ = self[] }
    }

    /// The series with these label values, in the order the labels were declared in; made at zero when it is new.
    public subscript(values: String...) -> Child { child(values) }

    func child(_ values: [String]) -> Child {
        precondition(values.count == labels.count, "\(name) has the labels \(labels), not \(values.count) of them")
        return children.withLock { children in
            if let child = children[values] { return child }
            let key = children.count < limit ? values : Array(repeating: "other", count: labels.count)
            if let child = children[key] { return child }
            let child = make()
            children[key] = child
            return child
        }
    }

    func family() -> MetricFamily {
        let children = children.withLock { $0 }
        let samples = children.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map { values, child in
            MetricSample(labels: zip(labels, values).map { MetricLabel($0, $1) }, value: child.value)
        }
        return MetricFamily(name: name, help: help, kind: kind, samples: samples)
    }
}
