/// The two texts a scraper can ask for.
public enum ExpositionFormat: Sendable, Equatable {
    /// Prometheus text format 0.0.4.
    case prometheusText
    /// OpenMetrics 1.0.
    case openMetrics

    public var contentType: String {
        switch self {
        case .prometheusText: "text/plain; version=0.0.4; charset=utf-8"
        case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
        }
    }

    /// What an Accept header asks for (RFC 9110 §12.5.1): OpenMetrics when it names it at least as warmly as
    /// text/plain, and the text format otherwise, for a browser or curl too.
    public static func negotiated(accept: String?) -> ExpositionFormat {
        var openMetrics = 0.0
        var text = 0.0
        for range in (accept ?? "").split(separator: ",") {
            let parts = range.split(separator: ";").map(trimmed)
            guard let media = parts.first?.lowercased() else { continue }
            var quality = 1.0
            var version: String?
            for part in parts.dropFirst() {
                let pair = part.split(separator: "=", maxSplits: 1).map(trimmed)
                guard pair.count == 2 else { continue }
                switch pair[0].lowercased() {
                case "q": quality = Double(pair[1]) ?? 0
                case "version": version = pair[1].filter { $0 != "\"" }
                default: break
                }
            }
            switch media {
            case "application/openmetrics-text" where version.map { ["0.0.1", "1.0.0"].contains($0) } ?? true:
                openMetrics = max(openMetrics, quality)
            case "text/plain": text = max(text, quality)
            default: break
            }
        }
        return openMetrics > 0 && openMetrics >= text ? .openMetrics : .prometheusText
    }
}

private func trimmed(_ text: Substring) -> String {
    String(text.drop { $0 == " " || $0 == "\t" }.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
}
