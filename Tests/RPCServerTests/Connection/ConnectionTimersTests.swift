import NIOCore
import Testing

@testable import RPCServer

struct ConnectionTimersTests {
    private static func second(_ seconds: Double) -> NIODeadline {
        .uptimeNanoseconds(UInt64((1_000 + seconds) * 1e9))
    }

    /// Without the look at requests, which would come between.
    private static let plain: ConnectionLifetime = {
        var lifetime = ConnectionLifetime.defaults
        lifetime.requestTimeout = nil
        return lifetime
    }()

    private static let settings = FrameScanner.Tally(hasSettings: true)
    private static let call = FrameScanner.Tally(useful: 2)

    private static func timers(
        _ lifetime: ConnectionLifetime = plain, jitter: Double = 0, hasSettings: Bool = true
    ) -> ConnectionTimers {
        var timers = ConnectionTimers(lifetime, acceptedAt: second(0), jitter: jitter)
        if hasSettings { timers.received(settings, unfinished: nil, at: second(0)) }
        return timers
    }

    /// What the timers ask for from now on, and when, for as long as nothing else happens.
    private static func run(
        _ timers: inout ConnectionTimers, pending: Int = 0, until end: Double = 100_000
    ) -> [(Double, ConnectionTimers.Action)] {
        var actions: [(Double, ConnectionTimers.Action)] = []
        while timers.next < second(end), actions.count < 20 {
            let now = timers.next
            let action = timers.passed(pending: pending, at: now)
            if action != .none { actions.append(((now - second(0)).seconds, action)) }
            if case .close = action { break }
        }
        return actions
    }

    @Test func `a peer that says nothing has ten seconds`() {
        var timers = Self.timers(hasSettings: false)
        let actions = Self.run(&timers)
        #expect(actions.map(\.0) == [10])
        #expect(actions.map(\.1) == [.close(.firstSettingsTimeout)])
    }

    @Test func `a preface that drips in has ten seconds in all`() {
        var timers = Self.timers(hasSettings: false)
        for time in 1..<10 { timers.received(FrameScanner.Tally(), unfinished: 1, at: Self.second(Double(time))) }
        #expect(Self.run(&timers).map(\.0) == [10])
    }

    @Test func `an idle connection is told to go and has a grace`() {
        var timers = Self.timers()
        let actions = Self.run(&timers)
        #expect(actions.map(\.0) == [300, 360])
        #expect(actions.map(\.1) == [.drain(.idle), .close(.graceOver)])
    }

    @Test func `a call puts the idle timeout off even when it is over at once`() {
        var timers = Self.timers()
        timers.received(Self.call, unfinished: nil, at: Self.second(100))
        #expect(Self.run(&timers).map(\.0).first == 400)
    }

    @Test func `an open call keeps the connection from being idle`() {
        var timers = Self.timers()
        timers.calls(open: true, at: Self.second(1))
        #expect(Self.run(&timers, until: 7_000).isEmpty)
        timers.calls(open: false, at: Self.second(7_000))
        #expect(Self.run(&timers).map(\.0).first == 7_200, "the keepalive")
    }

    @Test(arguments: [(-1.0, 90.0), (0, 100), (1, 110)])
    func `an old connection is told to go at its age give or take a tenth`(jitter: Double, age: Double) {
        var lifetime = Self.plain
        lifetime.maxAge = .seconds(100)
        lifetime.grace = .seconds(5)
        var timers = Self.timers(lifetime, jitter: jitter)
        timers.calls(open: true, at: Self.second(0))
        let actions = Self.run(&timers)
        #expect(actions.map(\.1) == [.drain(.maxAge), .close(.graceOver)])
        #expect(actions.map(\.0) == [age, age + 5])
    }

    @Test func `a quiet peer is asked every interval and let be when it answers`() {
        var timers = Self.timers()
        timers.calls(open: true, at: Self.second(0))
        #expect(timers.next == Self.second(7_200))
        let action = timers.passed(pending: 0, at: timers.next)
        #expect(action == .ping)
        #expect(timers.next == Self.second(7_220))
        timers.received(FrameScanner.Tally(), unfinished: nil, at: Self.second(7_201))
        #expect(timers.next == Self.second(14_401))
    }

    @Test func `a quiet peer that does not answer is gone`() {
        var timers = Self.timers()
        timers.calls(open: true, at: Self.second(0))
        let actions = Self.run(&timers)
        #expect(actions.map(\.0) == [7_200, 7_220])
        #expect(actions.map(\.1) == [.ping, .close(.keepaliveTimeout)])
    }

    @Test func `a frame has a minute from its first byte to its last`() {
        var timers = Self.timers()
        for time in 1..<60 { timers.received(FrameScanner.Tally(), unfinished: 3, at: Self.second(Double(time))) }
        let actions = Self.run(&timers)
        #expect(actions.map(\.0) == [61])
        #expect(actions.map(\.1) == [.close(.frameTimeout)])
    }

    @Test func `frames cut in two are fine as long as they end`() {
        var timers = Self.timers()
        for time in 1..<200 {
            timers.received(Self.call, unfinished: UInt64(time), at: Self.second(Double(time)))
            let action = timers.passed(pending: 0, at: Self.second(Double(time)))
            #expect(action == .none)
        }
        timers.received(Self.call, unfinished: nil, at: Self.second(200))
        #expect(timers.next == Self.second(500))
    }

    @Test func `a socket that refuses all output has a minute`() {
        var timers = Self.timers()
        timers.calls(open: true, at: Self.second(0))
        timers.outputStuck(pending: 70_000, at: Self.second(10))
        let actions = Self.run(&timers, pending: 70_000)
        #expect(actions.map(\.0) == [70])
        #expect(actions.map(\.1) == [.close(.writeTimeout)])
    }

    @Test func `a socket that takes a little is left alone`() {
        var timers = Self.timers()
        timers.calls(open: true, at: Self.second(0))
        timers.outputStuck(pending: 70_000, at: Self.second(10))
        let action = timers.passed(pending: 69_000, at: Self.second(70))
        #expect(action == .none)
        #expect(timers.next == Self.second(130))
        timers.outputMoves()
        #expect(timers.next == Self.second(7_200))
    }

    @Test func `a server that is shutting down sees to the end itself`() {
        var lifetime = Self.plain
        lifetime.maxAge = .seconds(100)
        var timers = Self.timers(lifetime)
        timers.beganDraining()
        #expect(Self.run(&timers).map(\.1) == [.ping, .close(.keepaliveTimeout)])
    }

    @Test func `requests are looked at while there are calls`() {
        var timers = Self.timers(.defaults)
        timers.calls(open: true, at: Self.second(5))
        let actions = Self.run(&timers, until: 190)
        #expect(actions.map(\.0) == [65, 125, 185])
        #expect(actions.first?.1 == .endStalledRequests(since: Self.second(5)))
        timers.calls(open: false, at: Self.second(190))
        #expect(Self.run(&timers).map(\.0).prefix(2) == [245, 490])
    }

    @Test func `every rule can be turned off`() {
        var lifetime = ConnectionLifetime()
        lifetime.idleTimeout = nil
        lifetime.grace = nil
        lifetime.keepaliveInterval = nil
        lifetime.firstSettingsTimeout = nil
        lifetime.requestTimeout = nil
        lifetime.frameTimeout = nil
        lifetime.writeTimeout = nil
        var timers = Self.timers(lifetime, hasSettings: false)
        timers.received(FrameScanner.Tally(), unfinished: 1, at: Self.second(0))
        timers.outputStuck(pending: 1, at: Self.second(0))
        #expect(timers.next == .distantFuture)
    }
}

extension TimeAmount {
    fileprivate var seconds: Double { Double(nanoseconds) / 1e9 }
}
