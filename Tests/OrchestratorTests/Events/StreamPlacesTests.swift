import Testing

@testable import Orchestrator

@Suite struct StreamPlacesTests {
    @Test func `the slowest is told, and who has left does not hold it back`() {
        let places = StreamPlaces()
        #expect(places.slowest == nil && places.count == 0)
        let fast = places.enter(at: 10)
        var slow: StreamPlaces.Place? = places.enter(at: 3)
        #expect(places.slowest == 3 && places.count == 2)
        slow?.move(to: 7)
        #expect(places.slowest == 7)
        slow = nil
        #expect(places.slowest == 10 && places.count == 1)
        fast.leave()
        fast.leave()
        #expect(places.slowest == nil && places.count == 0)
    }
}
