extension Timestamp {
    /// RFC 3339 in UTC with 0, 3, 6 or 9 digits of a second's fraction, whichever is exact: protobuf's JSON mapping.
    public var rfc3339: String {
        let fraction = nanosecondsOfSecond
        if fraction == 0 { return rfc3339(fractionDigits: 0) }
        return rfc3339(fractionDigits: fraction % 1_000_000 == 0 ? 3 : fraction % 1_000 == 0 ? 6 : 9)
    }

    /// RFC 3339 in UTC, down to the millisecond, always with three digits: for files that people and scripts read.
    public var rfc3339Milliseconds: String { rfc3339(fractionDigits: 3) }

    private var nanosecondsOfSecond: Int { Int(nanoseconds - seconds * 1_000_000_000) }

    /// Digit by digit: each line of the event file has one.
    private func rfc3339(fractionDigits: Int) -> String {
        let days = seconds >= 0 ? seconds / 86_400 : (seconds - 86_399) / 86_400
        let second = Int(seconds - days * 86_400)
        let (year, month, day) = Self.civil(days: Int(days))
        return String(unsafeUninitializedCapacity: 30) { text in
            var end = 0
            func put(_ number: Int, digits: Int, then mark: Unicode.Scalar) {
                var rest = number
                for place in stride(from: end + digits - 1, through: end, by: -1) {
                    text[place] = UInt8(ascii: "0") + UInt8(rest % 10)
                    rest /= 10
                }
                text[end + digits] = UInt8(ascii: mark)
                end += digits + 1
            }
            put(year, digits: 4, then: "-")
            put(month, digits: 2, then: "-")
            put(day, digits: 2, then: "T")
            put(second / 3600, digits: 2, then: ":")
            put(second / 60 % 60, digits: 2, then: ":")
            put(second % 60, digits: 2, then: fractionDigits == 0 ? "Z" : ".")
            if fractionDigits > 0 {
                let unit = fractionDigits == 3 ? 1_000_000 : fractionDigits == 6 ? 1_000 : 1
                put(nanosecondsOfSecond / unit, digits: fractionDigits, then: "Z")
            }
            return end
        }
    }

    /// A moment as RFC 3339 §5.6 writes it, with a fraction of at most 9 digits and any offset; a leap second is the second
    /// after it. nil for anything else, and for what lies outside of 64 bits of nanoseconds.
    public init?(rfc3339 text: String) {
        var rest = Array(text.utf8)[...]
        func take(_ characters: String) -> Bool {
            guard let first = rest.first, characters.utf8.contains(first) else { return false }
            rest.removeFirst()
            return true
        }
        func number(_ digits: Int, _ range: ClosedRange<Int>) -> Int? {
            let word = rest.prefix(digits)
            guard word.count == digits, word.allSatisfy({ (48...57).contains($0) }) else { return nil }
            rest.removeFirst(digits)
            let value = word.reduce(0) { $0 * 10 + Int($1) - 48 }
            return range.contains(value) ? value : nil
        }
        guard let year = number(4, 0...9999), take("-"), let month = number(2, 1...12), take("-"),
            let day = number(2, 1...31), take("Tt"), let hour = number(2, 0...23), take(":"),
            let minute = number(2, 0...59), take(":"), let second = number(2, 0...60)
        else { return nil }
        var fraction: Int64 = 0
        if take(".") {
            let digits = rest.prefix { (48...57).contains($0) }
            guard (1...9).contains(digits.count) else { return nil }
            rest.removeFirst(digits.count)
            fraction = digits.reduce(0) { $0 * 10 + Int64($1) - 48 }
            for _ in digits.count..<9 { fraction *= 10 }
        }
        var offset = 0
        if !take("Zz") {
            guard let sign = rest.first, take("+-"), let hours = number(2, 0...23), take(":"),
                let minutes = number(2, 0...59)
            else { return nil }
            offset = (hours * 3600 + minutes * 60) * (sign == UInt8(ascii: "-") ? -1 : 1)
        }
        let days = Self.days(year: year, month: month, day: day)
        guard rest.isEmpty, Self.civil(days: days) == (year, month, day) else { return nil }
        let seconds = Int64(days * 86_400 + hour * 3600 + minute * 60 + second - offset)
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, overflowed) = product.addingReportingOverflow(fraction)
        guard !overflow, !overflowed else { return nil }
        self.init(nanoseconds: sum)
    }

    /// From 1970-01-01 to a date: the inverse of `civil`.
    private static func days(year: Int, month: Int, day: Int) -> Int {
        let year = month <= 2 ? year - 1 : year
        let era = (year >= 0 ? year : year - 399) / 400
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    /// The date, in the proleptic Gregorian calendar, `days` after 1970-01-01. Years are counted from March, so that the
    /// leap day is a year's last, and in eras of 400 years, which all have 146 097 days.
    private static func civil(days: Int) -> (year: Int, month: Int, day: Int) {
        let sinceMarch0 = days + 719_468
        let era = (sinceMarch0 >= 0 ? sinceMarch0 : sinceMarch0 - 146_096) / 146_097
        let dayOfEra = sinceMarch0 - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return (year, month, dayOfYear - (153 * marchMonth + 2) / 5 + 1)
    }
}
