import Foundation
import Testing

@testable import Orchestrator

@Suite struct TimestampTests {
    @Test(
        arguments: [
            (0, "1970-01-01T00:00:00Z"),
            (1_700_000_000_000_000_000, "2023-11-14T22:13:20Z"),
            (951_782_400_120_000_000, "2000-02-29T00:00:00.120Z"),
            (1_000, "1970-01-01T00:00:00.000001Z"),
            (1_000_000_001, "1970-01-01T00:00:01.000000001Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (-86_400_000_000_000, "1969-12-31T00:00:00Z"),
        ] as [(Int64, String)])
    func `a moment is written in UTC with as many digits as it needs`(nanoseconds: Int64, text: String) {
        #expect(Timestamp(nanoseconds: nanoseconds).rfc3339 == text)
    }

    @Test func `every day from 1700 to 2250 has its date`() throws {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = try #require(TimeZone(identifier: "UTC"))
        // Every 97th day: all months, leap years and centuries come up.
        for day in stride(from: Int64(-98_000), to: 102_000, by: 97) {
            let date = Date(timeIntervalSince1970: Double(day) * 86_400)
            let parts = calendar.dateComponents([.year, .month, .day], from: date)
            let text = Timestamp(nanoseconds: day * 86_400_000_000_000).rfc3339
            let expected = String(format: "%04d-%02d-%02dT", parts.year ?? 0, parts.month ?? 0, parts.day ?? 0)
            #expect(text.hasPrefix(expected))
        }
    }

    @Test func `what was written in RFC 3339 is read again, and other offsets and fractions too`() {
        for nanoseconds: Int64 in [0, 1, -1, 1_700_000_000_123_456_789, .min + 1_000_000_000, .max - 1_000_000_000] {
            let time = Timestamp(nanoseconds: nanoseconds)
            #expect(Timestamp(rfc3339: time.rfc3339) == time, "\(time.rfc3339)")
        }
        let noon = Timestamp(rfc3339: "2026-02-28T12:00:00Z")
        #expect(noon?.seconds == 1_772_280_000)
        for same in ["2026-02-28T13:30:00+01:30", "2026-02-28t11:00:00.0-01:00", "2026-02-28T12:00:00.000000000z"] {
            #expect(Timestamp(rfc3339: same) == noon, "\(same)")
        }
        #expect(Timestamp(rfc3339: "2026-06-30T23:59:60Z") == Timestamp(rfc3339: "2026-07-01T00:00:00Z"))
    }

    @Test(arguments: [
        "", "2026", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01", "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:00", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00.1234567890Z", "2026-01-01T00:00:00Zx",
        "2026-01-01T00:00:00+1:00", "9999-01-01T00:00:00Z", "2026-1-01T00:00:00Z",
    ])
    func `what is no moment is none`(text: String) {
        #expect(Timestamp(rfc3339: text) == nil)
    }
}
