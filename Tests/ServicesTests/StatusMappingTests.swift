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

    private func details(_ error: OrchestratorError) throws -> [String: [UInt8]] {
        let rich = try Wire.Status(decoding: Status(error).details)
        return Dictionary(
            uniqueKeysWithValues: rich.details.map { (String($0.typeUrl.split(separator: ".").last ?? ""), $0.value) })
    }

    @Test func aReasonTravelsAsErrorInfoAndAJobAsResourceInfo() throws {
        let details = try details(OrchestratorError(.notFound, "no job").because(.jobNotFound, job: "a", ["x": "1"]))
        #expect(details.count == 2)
        let info = try Wire.ErrorInfo(decoding: try #require(details["ErrorInfo"]))
        #expect(info.reason == "JOB_NOT_FOUND" && info.metadata == ["job_id": "a", "x": "1"])
        let resource = try Wire.ResourceInfo(decoding: try #require(details["ResourceInfo"]))
        #expect(resource.resourceType == "dspy_orchestrator.v1.Job" && resource.resourceName == "a")
    }

    @Test func exhaustionHasItsReasonBesideTheTimeToComeBack() throws {
        let error = OrchestratorError(.resourceExhausted(retryAfter: .seconds(1)), "full").because(.diskFull)
        #expect(Set(try details(error).keys) == ["ErrorInfo", "RetryInfo"])
    }

    @Test func anAbsenceMaySayWhenToComeBack() throws {
        let error = OrchestratorError(.unavailable, "away").because(.slurmUnavailable, job: "a")
        let details = try details(error.retrying(after: .seconds(5)))
        #expect(Set(details.keys) == ["ErrorInfo", "ResourceInfo", "RetryInfo"])
        #expect(try Wire.RetryInfo(decoding: try #require(details["RetryInfo"])).retryDelay == .init(seconds: 5))
        #expect(try self.details(error)["RetryInfo"] == nil)
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

    @Test func exhaustionSaysWhenToComeBack() throws {
        let status = Status(OrchestratorError(.resourceExhausted(retryAfter: .milliseconds(1_500)), "full"))
        let detail = try #require(try Wire.Status(decoding: status.details).details.first)
        #expect(status.code == .resourceExhausted)
        #expect(detail.typeUrl == "type.googleapis.com/google.rpc.RetryInfo")
        #expect(try Wire.RetryInfo(decoding: detail.value).retryDelay == .init(seconds: 1, nanos: 500_000_000))
    }
}
