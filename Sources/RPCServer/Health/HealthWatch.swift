import Protocol
import Synchronization

/// A Watch call: compares what it last said with what is true whenever it is asked, so that a peer that reads slowly
/// gets the latest status and nothing queues up. An idle one is this object and an entry in the registry.
final class HealthWatch: PullSource {
    typealias ServingStatus = Wire.HealthCheckResponse.ServingStatus

    let service: String
    private let registry: HealthRegistry
    private let told = Mutex<(status: ServingStatus?, unsent: ArraySlice<UInt8>)>((nil, []))

    init(of service: String, in registry: HealthRegistry) {
        self.service = service
        self.registry = registry
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) -> PullOutcome {
        told.withLock { told in
            if told.unsent.isEmpty {
                let status = registry.status(of: service) ?? .serviceUnknown
                guard status != told.status else { return .pending }
                told = (status, Wire.HealthCheckResponse(status: status).framed()[...])
            }
            let part = told.unsent.prefix(buffer.count)
            buffer.copyBytes(from: part)
            told.unsent = told.unsent.dropFirst(part.count)
            return .bytes(part.count)
        }
    }

    func attach(wake: @escaping @Sendable () -> Void) { registry.add(self, wake: wake) }

    func close() { registry.remove(self) }

    func statusAtShutdown() -> Status {
        Status(.unavailable, "the server is going away, or this connection is too old; watch again").because(
            "SERVER_STOPPING")
    }
}
