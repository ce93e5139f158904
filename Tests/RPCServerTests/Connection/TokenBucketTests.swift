import NIOCore
import Testing

@testable import RPCServer

struct TokenBucketTests {
    private static func second(_ seconds: Double) -> NIODeadline {
        .uptimeNanoseconds(UInt64((1_000 + seconds) * 1e9))
    }

    @Test func `the burst is there at once and no more`() {
        var bucket = TokenBucket(burst: 10, perSecond: 1, at: Self.second(0))
        var took: [Bool] = []
        took.append(bucket.take(10, at: Self.second(0)))
        took.append(bucket.take(1, at: Self.second(0)))
        #expect(took == [true, false])
    }

    @Test func `time brings the rate and never more than the burst`() {
        var bucket = TokenBucket(burst: 10, perSecond: 2, at: Self.second(0))
        var took: [Bool] = []
        took.append(bucket.take(10, at: Self.second(0)))
        took.append(bucket.take(4, at: Self.second(2)))
        took.append(bucket.take(1, at: Self.second(2.1)))
        took.append(bucket.take(11, at: Self.second(1_000)))
        #expect(took == [true, true, false, false])
    }

    @Test func `what is earned counts up to the burst`() {
        var bucket = TokenBucket(burst: 10, perSecond: 0, at: Self.second(0))
        var took: [Bool] = []
        took.append(bucket.take(10, at: Self.second(0)))
        bucket.earn(3)
        took.append(bucket.take(3, at: Self.second(0)))
        bucket.earn(1_000)
        took.append(bucket.take(11, at: Self.second(0)))
        #expect(took == [true, true, false])
    }
}
