import Protocol
import Testing

struct StatusTests {
    @Test func `a bad request names its field in the details`() throws {
        let status = Status.badRequest(field: "labels", "too many")
        #expect(status.code == .invalidArgument)
        let rich = try Wire.Status(decoding: status.details)
        #expect(rich.code == 3)
        #expect(rich.message == "too many")
        let detail = try #require(rich.details.first)
        #expect(detail.typeUrl == "type.googleapis.com/google.rpc.BadRequest")
        let violations = try Wire.BadRequest(decoding: detail.value).fieldViolations
        #expect(violations == [Wire.BadRequest.FieldViolation(field: "labels", description: "too many")])
    }

    @Test func `a retry says when`() throws {
        let status = Status(.resourceExhausted, "full").retrying(after: .milliseconds(1500))
        let rich = try Wire.Status(decoding: status.details)
        let detail = try #require(rich.details.first)
        #expect(detail.typeUrl == "type.googleapis.com/google.rpc.RetryInfo")
        let delay = try Wire.RetryInfo(decoding: detail.value).retryDelay
        #expect(delay == Wire.Duration(seconds: 1, nanos: 500_000_000))
    }

    @Test func `every detail stands in one google rpc Status, each once`() throws {
        let status = Status(.notFound, "no job").because("JOB_NOT_FOUND", ["job_id": "a"]).about("Job", "a")
            .retrying(after: .seconds(1))
        let rich = try Wire.Status(decoding: status.details)
        #expect(rich.code == 5 && rich.message == "no job")
        #expect(
            rich.details.map { $0.typeUrl.split(separator: ".").last } == ["ErrorInfo", "ResourceInfo", "RetryInfo"])
        #expect(
            try Wire.ErrorInfo(decoding: rich.details[0].value)
                == .init(reason: "JOB_NOT_FOUND", domain: "dspy-orchestrator", metadata: ["job_id": "a"]))
        let resource = try Wire.ResourceInfo(decoding: rich.details[1].value)
        #expect(resource == .init(resourceType: "Job", resourceName: "a", description: "no job"))
    }

    @Test func `a caller's own long value does not make the trailers long`() throws {
        let long = String(repeating: "é", count: 100_000)
        let status = Status(.notFound, "no").because("JOB_NOT_FOUND", ["job_id": long]).about("Job", long)
        #expect(status.details.count < 1_000)
        _ = try Wire.Status(decoding: status.details)
    }

    @Test func `codes have gRPC's numbers`() {
        #expect(StatusCode.allCases.map(\.rawValue) == Array(0...16))
        #expect(StatusCode.unauthenticated.rawValue == 16)
        #expect(Set(StatusCode.allCases.map(\.label)).count == 17)
    }

    @Test func `a status reads as its code and message`() {
        #expect("\(Status.ok)" == "OK")
        #expect("\(Status(.notFound, "no job a"))" == "NotFound: no job a")
    }
}

struct WireDurationTests {
    @Test(arguments: [
        Duration.zero, .seconds(1), .seconds(-1), .milliseconds(1500), .milliseconds(-1500), .nanoseconds(1),
        .nanoseconds(-1), .seconds(315_576_000_000),
    ])
    func `a duration survives the wire`(duration: Duration) throws {
        #expect(try Wire.Duration(duration).checked(field: "timeout") == duration)
    }

    @Test(arguments: [
        (Int64(1), Int32(-1)), (-1, 1), (0, 1_000_000_000), (0, -1_000_000_000), (315_576_000_001, 0),
        (-315_576_000_001, 0), (0, .min), (0, .max), (.min, 0), (.max, 0), (.min, .min), (.max, .max),
    ])
    func `mixed signs and numbers out of range are refused by the field's name`(seconds: Int64, nanos: Int32) {
        let error = #expect(throws: WireError.self) {
            try Wire.Duration(seconds: seconds, nanos: nanos).checked(field: "retry.max_backoff")
        }
        #expect(error?.field == "retry.max_backoff")
        #expect(error?.problem.contains("\(seconds) s and \(nanos) ns") == true)
    }
}
