import Testing

@testable import Services

@Suite struct PublishQuotaTests {
    private let start = ContinuousClock.now

    @Test func `a caller has what it saved up, and then its rate`() {
        let quota = PublishQuota(perSecond: 2)
        for _ in 0..<20 { #expect(quota.take("a", at: start) == nil) }
        #expect(quota.take("a", at: start) == .milliseconds(500))
        #expect(quota.take("b", at: start) == nil)
        #expect(quota.take("a", at: start + .milliseconds(500)) == nil)
        #expect(quota.take("a", at: start + .milliseconds(600)) != nil)
        for _ in 0..<20 { #expect(quota.take("a", at: start + .seconds(100)) == nil) }
        #expect(quota.take("a", at: start + .seconds(100)) != nil)
    }

    @Test func `callers without end are not remembered without end`() {
        let quota = PublishQuota(perSecond: 1)
        for number in 0..<30_000 {
            #expect(quota.take("caller-\(number)", at: start + .microseconds(number)) == nil)
            if number % 1_000 == 0 { #expect(quota.callers <= 10_000) }
        }
        // One that came a moment ago is still known: it has spent one of its ten.
        for _ in 0..<9 { #expect(quota.take("caller-29999", at: start + .microseconds(30_000)) == nil) }
        #expect(quota.take("caller-29999", at: start + .microseconds(30_000)) != nil)
    }

    @Test func `0 is without limit`() {
        let quota = PublishQuota(perSecond: 0)
        for _ in 0..<1_000 { #expect(quota.take("a", at: start) == nil) }
    }
}
