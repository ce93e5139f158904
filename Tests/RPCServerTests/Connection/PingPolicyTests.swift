import NIOCore
import Testing

@testable import RPCServer

struct PingPolicyTests {
    private static func second(_ seconds: Double) -> NIODeadline {
        .uptimeNanoseconds(UInt64((1_000 + seconds) * 1e9))
    }

    @Test func `a ping every ten seconds is never too many, give or take the clocks`() {
        var policy = PingPolicy(.defaults)
        for index in 0..<1_000 {
            let jitter = index.isMultiple(of: 2) ? 0.0 : -0.5
            let tooMany = policy.received(1, hasCalls: false, at: Self.second(Double(index) * 10 + jitter))
            #expect(!tooMany)
        }
    }

    @Test func `the third ping too early is too many`() {
        var policy = PingPolicy(.defaults)
        let answers = (0..<4).map { policy.received(1, hasCalls: true, at: Self.second(Double($0))) }
        #expect(answers == [false, false, false, true])
    }

    @Test func `many pings at once are too many`() {
        var policy = PingPolicy(.defaults)
        let tooMany = policy.received(4, hasCalls: true, at: Self.second(0))
        #expect(tooMany)
    }

    @Test func `what the server sends of its own forgets the strikes`() {
        var policy = PingPolicy(.defaults)
        for index in 0..<100 {
            let tooMany = policy.received(1, hasCalls: true, at: Self.second(Double(index) / 100))
            #expect(!tooMany)
            policy.sent(17 + 100)
        }
    }

    @Test func `answers to pings forget nothing`() {
        var policy = PingPolicy(.defaults)
        var answers: [Bool] = []
        for index in 0..<4 {
            answers.append(policy.received(1, hasCalls: true, at: Self.second(Double(index))))
            policy.sent(10)
            policy.sent(7)
        }
        #expect(answers == [false, false, false, true])
    }

    @Test func `pings without a call may be held to two hours`() {
        var lifetime = ConnectionLifetime.defaults
        lifetime.permitsPingsWithoutCalls = false
        var policy = PingPolicy(lifetime)
        let answers = (0..<4).map { policy.received(1, hasCalls: false, at: Self.second(Double($0) * 60)) }
        #expect(answers == [false, false, false, true])
    }

    @Test func `an interval of zero permits all`() {
        var lifetime = ConnectionLifetime.defaults
        lifetime.minimumPingInterval = .zero
        var policy = PingPolicy(lifetime)
        let tooMany = policy.received(100_000, hasCalls: false, at: Self.second(0))
        #expect(!tooMany)
    }
}
