extension Timestamp {
    /// RFC 3339 in UTC with 0, 3, 6 or 9 digits of a second's fraction, whichever is exact: protobuf's JSON mapping.
    public var rfc3339: String {
        let seconds = self.seconds
        let days = seconds >= 0 ? seconds / 86_400 : (seconds - 86_399) / 86_400
        let second = Int(seconds - days * 86_400)
        let (year, month, day) = Self.civil(days: Int(days))

        let date = "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))"
        let time = "\(padded(second / 3600, 2)):\(padded(second / 60 % 60, 2)):\(padded(second % 60, 2))"
        let fraction = Int(nanoseconds - seconds * 1_000_000_000)
        let digits =
            if fraction == 0 {
                ""
            } else if fraction % 1_000_000 == 0 {
                "." + padded(fraction / 1_000_000, 3)
            } else if fraction % 1000 == 0 {
                "." + padded(fraction / 1000, 6)
            } else {
                "." + padded(fraction, 9)
            }
        return "\(date)T\(time)\(digits)Z"
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

    private func padded(_ number: Int, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
