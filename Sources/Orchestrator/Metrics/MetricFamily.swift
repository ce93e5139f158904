/// Everything the server tells about one metric at one moment: a plain value, made by `MetricsRegistry.snapshot()` and
/// drawn by `Exposition`.
public struct MetricFamily: Sendable, Equatable {
    public enum Kind: String, Sendable {
        case counter
        case gauge
        case histogram
    }

    /// As Prometheus shows it: base units, and a counter's name ends in `_total`.
    public var name: String
    /// One sentence for people.
    public var help: String
    public var kind: Kind
    public var samples: [MetricSample]

    public init(name: String, help: String, kind: Kind, samples: [MetricSample]) {
        self.name = name
        self.help = help
        self.kind = kind
        self.samples = samples
    }

    /// A family with one series that has no labels.
    public init(name: String, help: String, kind: Kind, value: Double) {
        self.init(name: name, help: help, kind: kind, samples: [MetricSample(labels: [], value: .number(value))])
    }
}

/// One series of a family.
public struct MetricSample: Sendable, Equatable {
    /// In the family's own order.
    public var labels: [MetricLabel]
    public var value: MetricValue

    public init(labels: [MetricLabel], value: MetricValue) {
        self.labels = labels
        self.value = value
    }
}

public struct MetricLabel: Sendable, Hashable {
    public var name: String
    public var value: String

    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

public enum MetricValue: Sendable, Equatable {
    case number(Double)
    case histogram(HistogramSnapshot)
}

/// The characters Prometheus allows in names, which its data model document lays down.
enum MetricName {
    /// `[a-zA-Z_:][a-zA-Z0-9_:]*`
    static func isValid(_ name: String) -> Bool {
        guard let first = name.utf8.first, isLetter(first) || first == UInt8(ascii: ":") else { return false }
        return name.utf8.allSatisfy { isLetter($0) || isDigit($0) || $0 == UInt8(ascii: ":") }
    }

    /// `[a-zA-Z_][a-zA-Z0-9_]*`; names that start with `__` are Prometheus's own.
    static func isValidLabel(_ name: String) -> Bool {
        guard let first = name.utf8.first, isLetter(first), !name.hasPrefix("__") else { return false }
        return name.utf8.allSatisfy { isLetter($0) || isDigit($0) }
    }

    private static func isLetter(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
            || byte == UInt8(ascii: "_")
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
}
