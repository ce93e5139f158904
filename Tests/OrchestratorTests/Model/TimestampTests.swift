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
}
