import Orchestrator
import Protocol

extension Status {
    /// The status that tells a client of the domain's refusal.
    init(_ error: OrchestratorError) {
        switch error.kind {
        case .invalidArgument(let field): self = .badRequest(field: field, error.message)
        case .notFound: self.init(.notFound, error.message)
        case .alreadyExists: self.init(.alreadyExists, error.message)
        case .failedPrecondition: self.init(.failedPrecondition, error.message)
        case .outOfRange(let oldest):
            self = Status(.outOfRange, error.message).because(
                "SEQUENCE_NOT_KEPT", domain: OrchestratorService.name, ["oldest_sequence": String(oldest)])
        case .resourceExhausted(let delay): self = Status(.resourceExhausted, error.message).retrying(after: delay)
        case .unavailable: self.init(.unavailable, error.message)
        case .unimplemented: self.init(.unimplemented, error.message)
        case .internal: self.init(.internal, error.message)
        }
    }

    /// Turns the domain's errors into statuses, and lets others pass.
    static func mapping<Value: Sendable>(_ body: () async throws -> Value) async throws -> Value {
        do {
            return try await body()
        } catch let error as OrchestratorError {
            throw Status(error)
        }
    }
}
