import Protocol
import Synchronization

/// Which services take calls: the state behind `grpc.health.v1.Health`. The empty name is the server as a whole.
public final class HealthRegistry: Sendable {
    typealias ServingStatus = Wire.HealthCheckResponse.ServingStatus

    private struct State {
        var statuses: [String: ServingStatus]
        var isDraining = false
        /// By the identity of the watch that is woken.
        var watches: [ObjectIdentifier: (service: String, wake: @Sendable () -> Void)] = [:]
    }

    private let state: Mutex<State>

    /// - Parameter services: full names, each SERVING from the start, and so is the server.
    public init(services: [String]) {
        let all = services + [""]
        state = Mutex(State(statuses: Dictionary(all.map { ($0, ServingStatus.serving) }) { status, _ in status }))
    }

    /// Says whether a service takes calls, and tells those who watch it. A new name adds a service; "" is the server.
    /// Changes nothing once the server drains.
    public func set(_ service: String, isServing: Bool) {
        let status: ServingStatus = isServing ? .serving : .notServing
        let wakes = state.withLock { state -> [@Sendable () -> Void] in
            guard !state.isDraining, state.statuses.updateValue(status, forKey: service) != status else { return [] }
            return state.watches.values.filter { $0.service == service }.map(\.wake)
        }
        for wake in wakes { wake() }
    }

    /// Everything is NOT_SERVING from now on. To be called first when the server shuts down, so that clients go elsewhere
    /// while calls are still answered.
    public func drain() {
        let wakes = state.withLock { state -> [@Sendable () -> Void] in
            state.isDraining = true
            for service in state.statuses.keys { state.statuses[service] = .notServing }
            return state.watches.values.map(\.wake)
        }
        for wake in wakes { wake() }
    }

    /// nil for a service that is not known.
    func status(of service: String) -> ServingStatus? { state.withLock { $0.statuses[service] } }

    var statuses: [String: ServingStatus] { state.withLock { $0.statuses } }

    func add(_ watch: HealthWatch, wake: @escaping @Sendable () -> Void) {
        state.withLock { $0.watches[ObjectIdentifier(watch)] = (watch.service, wake) }
    }

    func remove(_ watch: HealthWatch) { state.withLock { $0.watches[ObjectIdentifier(watch)] = nil } }

    /// Watch calls that are open.
    var watchCount: Int { state.withLock { $0.watches.count } }
}
