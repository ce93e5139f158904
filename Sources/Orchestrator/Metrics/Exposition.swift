/// Families drawn as text, after Prometheus's "Exposition formats" and the OpenMetrics 1.0 specification.
public enum Exposition {
    public static func render(_ families: [MetricFamily], as format: ExpositionFormat) -> String {
        var text = ""
        text.reserveCapacity(families.count * 512)
        for family in families { append(family, as: format, to: &text) }
        if format == .openMetrics { text += "# EOF\n" }
        return text
    }

    private static func append(_ family: MetricFamily, as format: ExpositionFormat, to text: inout String) {
        // OpenMetrics names a counter's family without the suffix its samples bear; the text format names both alike.
        let isCounter = family.kind == .counter
        let base = isCounter && family.name.hasSuffix("_total") ? String(family.name.dropLast(6)) : family.name
        let familyName = format == .openMetrics ? base : family.name
        let sampleName = format == .openMetrics && isCounter ? base + "_total" : family.name
        switch format {
        case .prometheusText:
            text += "# HELP \(familyName) \(escaped(family.help, quotes: false))\n"
            text += "# TYPE \(familyName) \(family.kind.rawValue)\n"
        case .openMetrics:
            text += "# TYPE \(familyName) \(family.kind.rawValue)\n"
            text += "# HELP \(familyName) \(escaped(family.help, quotes: true))\n"
        }
        for sample in family.samples {
            switch sample.value {
            case .number(let number):
                line(sampleName, sample.labels, number, to: &text)
            case .histogram(let histogram):
                append(histogram, named: family.name, labels: sample.labels, as: format, to: &text)
            }
        }
    }

    private static func append(
        _ histogram: HistogramSnapshot, named name: String, labels: [MetricLabel], as format: ExpositionFormat,
        to text: inout String
    ) {
        var cumulative: UInt64 = 0
        for (index, count) in histogram.counts.enumerated() {
            cumulative += count
            let bound = index < histogram.bounds.count ? histogram.bounds[index] : .infinity
            let le = MetricLabel("le", format == .openMetrics ? canonical(bound) : number(bound))
            line(name + "_bucket", labels + [le], Double(cumulative), to: &text)
        }
        line(name + "_sum", labels, histogram.sum, to: &text)
        line(name + "_count", labels, Double(cumulative), to: &text)
    }

    private static func line(_ name: String, _ labels: [MetricLabel], _ value: Double, to text: inout String) {
        text += name
        if !labels.isEmpty {
            text += "{"
            for (index, label) in labels.enumerated() {
                if index > 0 { text += "," }
                text += "\(label.name)=\"\(escaped(label.value, quotes: true))\""
            }
            text += "}"
        }
        text += " \(number(value))\n"
    }

    /// Whole numbers without a fraction, the rest in the shortest form that reads back as the same number.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        if let whole = Int64(exactly: value), whole.magnitude < 1 << 53 { return String(whole) }
        return value.description
    }

    /// A bucket's bound as OpenMetrics wants it written, always with a fraction or an exponent.
    static func canonical(_ bound: Double) -> String { bound.isFinite ? bound.description : number(bound) }

    private static func escaped(_ text: String, quotes: Bool) -> String {
        guard text.utf8.contains(where: { $0 == 0x5C || $0 == 0x0A || $0 == 0x22 }) else { return text }
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\"" where quotes: result += "\\\""
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
