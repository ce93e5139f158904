/// What flags and variables say, as values; nil for what is none.
package enum Parse {
    package static func path(_ text: String) -> String? { text.isEmpty || text.utf8.contains(0) ? nil : text }

    /// `HOST:PORT`, with IPv6 addresses in brackets.
    package static func address(_ text: String) -> ListenAddress? {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            return nil
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        return host.isEmpty ? nil : ListenAddress(host: String(host), port: Int(port))
    }

    package static func boolean(_ text: String) -> Bool? {
        switch text.lowercased() {
        case "1", "true", "yes", "on": true
        case "0", "false", "no", "off": false
        default: nil
        }
    }

    /// A number of days, fractions allowed; 0 is no limit.
    package static func days(_ text: String) -> Duration?? {
        guard let days = Double(text), days >= 0, days <= 36_500 else { return nil }
        return .some(days == 0 ? nil : .milliseconds(Int64(days * 86_400_000)))
    }

    /// A number of hours, fractions allowed; 0 is no limit.
    package static func hours(_ text: String) -> Duration?? {
        guard let hours = Double(text), hours >= 0, hours <= 876_000 else { return nil }
        return .some(hours == 0 ? nil : .milliseconds(Int64(hours * 3_600_000)))
    }

    /// `HOST:PORT`, with commas between several.
    package static func brokers(_ text: String) -> String?? {
        let brokers = text.split(separator: ",", omittingEmptySubsequences: false).map { broker in
            String(broker.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
        }
        guard brokers.allSatisfy({ address($0) != nil }) else { return nil }
        return .some(brokers.joined(separator: ","))
    }

    /// 0 is no limit.
    package static func limit(_ text: String) -> Int?? {
        guard let count = Int(text), count >= 0 else { return nil }
        return .some(count == 0 ? nil : count)
    }

    /// A whole number of bytes, or of KiB, MiB, GiB or TiB; 0 is no limit.
    package static func bytes(_ text: String) -> Int64?? {
        let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)]
        let unit = units.first { text.hasSuffix($0.0) }
        guard let number = Int64(text.dropLast(unit?.0.count ?? 0)), number >= 0 else { return nil }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << (unit?.1 ?? 0))
        return overflow ? nil : .some(bytes == 0 ? nil : bytes)
    }

    package static func count(_ range: ClosedRange<Int>) -> (String) -> Int? {
        { text in Int(text).flatMap { range.contains($0) ? $0 : nil } }
    }

    package static func seconds(_ range: ClosedRange<Double>) -> (String) -> Duration? {
        { text in Double(text).flatMap { range.contains($0) ? .milliseconds(Int64($0 * 1_000)) : nil } }
    }
}
