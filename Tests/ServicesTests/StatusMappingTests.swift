import Orchestrator
import Protocol
import Testing

@testable import Services

@Suite struct StatusMappingTests {
    @Test(arguments: [
        (OrchestratorError.Kind.notFound, StatusCode.notFound), (.alreadyExists, .alreadyExists),
        (.failedPrecondition, .failedPrecondition),
        (.unavailable, .unavailable), (.unimplemented, .unimplemented), (.internal, .internal),
    ])
    func eachKindHasItsCodeAndKeepsItsMessage(kind: OrchestratorError.Kind, code: StatusCode) {
        let status = Status(OrchestratorError(kind, "the words"))
        #expect(status == Status(code, "the words"))
    }

    @Test func aBadFieldTravelsAsBadRequest() throws {
        let status = Status(.invalidArgument("payload", "payload: not JSON"))
        let rich = try Wire.Status(decoding: status.details)
        #expect(status.code == .invalidArgument)
        #expect(rich.code == 3 && rich.message == "payload: not JSON")
        let detail = try #require(rich.details.first)
        #expect(detail.typeUrl == "type.googleapis.com/google.rpc.BadRequest")
        let violations = try Wire.BadRequest(decoding: detail.value).fieldViolations
        #expect(violations == [.init(field: "payload", description: "payload: not JSON")])
    }

    @Test func `what is no longer kept says what the oldest is, for programs`() throws {
        let status = Status(OrchestratorError(.outOfRange(oldest: 77), "gone"))
        let rich = try Wire.Status(decoding: status.details)
        #expect(status.code == .outOfRange && rich.message == "gone")
        let detail = try #require(rich.details.first)
        #expect(detail.typeUrl == "type.googleapis.com/google.rpc.ErrorInfo")
        let info = try Wire.ErrorInfo(decoding: detail.value)
        #expect(info.reason == "SEQUENCE_NOT_KEPT" && info.metadata == ["oldest_sequence": "77"])
    }

    @Test func exhaustionSaysWhenToComeBack() throws {
        let status = Status(OrchestratorError(.resourceExhausted(retryAfter: .milliseconds(1_500)), "full"))
        let detail = try #require(try Wire.Status(decoding: status.details).details.first)
        #expect(status.code == .resourceExhausted)
        #expect(detail.typeUrl == "type.googleapis.com/google.rpc.RetryInfo")
        #expect(try Wire.RetryInfo(decoding: detail.value).retryDelay == .init(seconds: 1, nanos: 500_000_000))
    }
}
