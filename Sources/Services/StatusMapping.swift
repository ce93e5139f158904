import Orchestrator
import Protocol

extension Status {
    /// The status that tells a client of the domain's refusal.
    init(_ error: OrchestratorError) {
        if case .invalidArgument(let field) = error.kind {
            self = .badRequest(field: field, error.message)
            return
        }
        self.init(error.kind.code, error.message)
        if let reason = error.reason {
            var metadata = error.metadata
            if let job = error.jobID { metadata["job_id"] = job }
            self = because(reason.rawValue, metadata)
        }
        if let job = error.jobID { self = about(Self.jobType, job) }
        if let delay = error.retryAfter { self = retrying(after: delay) }
    }

    /// The resource type of a job.
    private static let jobType = "dspy_orchestrator.v1.Job"

    /// Turns the domain's errors into statuses, and lets others pass.
    static func mapping<Value: Sendable>(_ body: () async throws -> Value) async throws -> Value {
        do {
            return try await body()
        } catch let error as OrchestratorError {
            throw Status(error)
        }
    }
}

extension OrchestratorError.Kind {
    fileprivate var code: StatusCode {
        switch self {
        case .invalidArgument: .invalidArgument
        case .notFound: .notFound
        case .alreadyExists: .alreadyExists
        case .failedPrecondition: .failedPrecondition
        case .outOfRange: .outOfRange
        case .resourceExhausted: .resourceExhausted
        case .unavailable: .unavailable
        case .unimplemented: .unimplemented
        case .internal: .internal
        }
    }
}
