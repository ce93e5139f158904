import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Orchestrator
import Testing

@testable import Gateway

@testable import Gateway

@Suite struct SubmissionRoutesTests {
    @Test(arguments: [
        #"""
        {"job_id":"b","job_class":"cpu_long","payload":{"n": 1.50},"priority":-3,"labels":{"k":"v"},"timeout":"90s",
         "deadline":"3600.5s","depends_on":["a"],
         "retry":{"max_attempts":3,"initial_backoff":"0.25s","max_backoff":"0s","retry_on":["timeout","lost"]},
         "resources":{"cpus":1.5,"memory_bytes":9007199254740993,"gpus":0,"processes":7}}
        """#,
        #"""
        {"jobId":"b","jobClass":"JOB_CLASS_CPU_LONG","payload":{"n": 1.50},"priority":"-3","labels":{"k":"v"},
         "timeout":"90.000s","deadline":"3600.500000000s","dependsOn":["a"],
         "retry":{"maxAttempts":3e0,"initialBackoff":"0.250s","maxBackoff":"0s",
                  "retryOn":["FAILURE_REASON_TIMEOUT",8]},
         "resources":{"cpus":1.5,"memoryBytes":"9007199254740993","processes":7}}
        """#,
    ])
    func `a job has every field of the contract, in its names or protobuf's`(body: String) async throws {
        try await GatewayFixture.test { client, fixture in
            _ = try await fixture.ledger.submit(JobSpec(id: "a"))
            let answer = try await client.send(.post, "/v1/jobs", body)
            #expect(answer.status == 200, "\(answer.text)")
            var spec = JobSpec(
                id: "b", jobClass: .cpuLong, payload: Array(#"{"n": 1.50}"#.utf8), priority: -3, labels: ["k": "v"],
                timeout: .seconds(90), deadline: .milliseconds(3_600_500), dependsOn: ["a"], source: .http)
            spec.retry = RetryPolicy(
                maxAttempts: 3, initialBackoff: .milliseconds(250), maxBackoff: .zero,
                retryOn: [FailureReason.timeout.rawValue, FailureReason.lost.rawValue])
            spec.resources = Resources(cpus: 1.5, memoryBytes: 9_007_199_254_740_993, processes: 7)
            let job = try await fixture.ledger.job("b")
            #expect(job.spec == spec)

            let told = try await client.get("/v1/jobs/b")
            #expect(answer.text == #"{"job":\#(told.text),"already_existed":false}"#)
            #expect(told.json["depends_on"] as? [String] == ["a"])
            #expect(told.json["deadline"] as? String == job.deadline?.rfc3339)
        }
    }

    @Test(arguments: [
        "{}",
        #"""
        {"job_id":null,"job_class":0,"payload":null,"priority":null,"labels":null,"timeout":"0s","retry":null,
         "depends_on":null,"resources":null,"deadline":null}
        """#,
        #"{"job_id":"","job_class":"JOB_CLASS_UNSPECIFIED","labels":{},"retry":{},"depends_on":[],"resources":{}}"#,
    ])
    func `everything may be left out of a job`(body: String) async throws {
        try await GatewayFixture.test { client, fixture in
            let answer = try await client.send(.post, "/v1/jobs", body)
            let job = try #require(answer.json["job"] as? [String: Any], "\(answer.text)")
            let id = try #require(job["job_id"] as? String)
            #expect(try await fixture.ledger.job(id).spec == JobSpec(id: id, source: .http))
        }
    }

    @Test(arguments: [
        ("", "not JSON"), ("{", "not JSON"), ("[]", "the body must be an object"), ("7", "not a number"),
        (#"{"command":["x"]}"#, "command is not a field; there are: job_id, job_class"),
        (#"{"job_id":"a","jobId":"b"}"#, "job_id is given twice"), (#"{"job_id":7}"#, "job_id must be a string"),
        (#"{"job_id":"../x"}"#, "../x"),
        (#"{"job_class":"tpu"}"#, #"job_class "tpu" is unknown; use one of cpu_short"#),
        (#"{"job_class":5}"#, "job_class 5"), (#"{"job_class":1.5}"#, "job_class 1.5"),
        (#"{"payload":"e30="}"#, "payload must be a JSON object, not a string"),
        (#"{"priority":2147483648}"#, "priority 2147483648 is not a whole number from -2147483648 to 2147483647"),
        (#"{"priority":1.5}"#, "priority 1.5"), (#"{"priority":1e400}"#, "priority 1e400"),
        (#"{"labels":["x"]}"#, "labels must be an object"), (#"{"labels":{"k":1}}"#, "labels.k must be a string"),
        (#"{"timeout":60}"#, #"timeout 60 is not a duration; write seconds, as "90s""#),
        (#"{"timeout":"1m"}"#, "timeout"), (#"{"timeout":"s"}"#, "timeout"), (#"{"timeout":"-1s"}"#, "timeout of -1"),
        (#"{"deadline":"1.0000000001s"}"#, "deadline"), (#"{"deadline":"99999999999999999999s"}"#, "deadline"),
        (#"{"depends_on":"a"}"#, "depends_on must be an array"), (#"{"depends_on":["x"]}"#, "x"),
        (#"{"depends_on":["a",null]}"#, "depends_on[1] must be a string"),
        (#"{"retry":{"attempts":2}}"#, "retry.attempts is not a field; there are: max_attempts"),
        (#"{"retry":{"max_attempts":-1}}"#, "retry.max_attempts -1"), (#"{"retry":3}"#, "retry must be an object"),
        (#"{"retry":{"max_attempts":101}}"#, "retry.max_attempts of 101"),
        (#"{"retry":{"retry_on":["bored"]}}"#, #"retry.retry_on[0] "bored" is unknown; use one of exit_code"#),
        (#"{"resources":{"cpus":"2"}}"#, "resources.cpus must be a number"),
        (#"{"resources":{"cpus":-1}}"#, "resources.cpus"), (#"{"resources":{"gpus":-1}}"#, "resources.gpus -1"),
        (#"{"jobs":{}}"#, "jobs must be an array"), (#"{"jobs":[],"job_id":"a"}"#, "job_id is not a field"),
    ])
    func `what is no job is refused with the field and the remedy`(body: String, words: String) async throws {
        try await GatewayFixture.test { client, fixture in
            let answer = try await client.send(.post, "/v1/jobs", body)
            #expect(answer.status == 400)
            #expect(answer.error?.contains(words) == true, "\(answer.text)")
            #expect(fixture.ledger.openJobs().isEmpty)
        }
    }

    @Test func `the same job again is the job that is there, another under its id a conflict`() async throws {
        try await GatewayFixture.test { client, _ in
            for isThere in [false, true] {
                let answer = try await client.send(.post, "/v1/jobs", #"{"job_id":"a","payload":{"n":1}}"#)
                #expect(answer.status == 200)
                #expect(answer.json["already_existed"] as? Bool == isThere)
            }
            // The queue's route and this one bring the same job.
            #expect(try await client.send(.post, "/queue/submit", #"{"id":"a","payload":{"n":1}}"#).status == 200)
            let other = try await client.send(.post, "/v1/jobs", #"{"job_id":"a","payload":{"n":2}}"#)
            #expect(other.status == 409)
            #expect(other.error?.contains("payload") == true)
        }
    }

    @Test func `each job of a batch has its own verdict, in order`() async throws {
        try await GatewayFixture.test { client, fixture in
            _ = try await fixture.ledger.submit(JobSpec(id: "old", priority: 1))
            let answer = try await client.send(
                .post, "/v1/jobs",
                #"""
                {"jobs":[{"job_id":"child","depends_on":["parent"]},{"job_id":"x","timeout":1},{"job_id":"old"},
                 {"job_id":"old","priority":1},7,{"job_id":"parent","payload":{"secret":1}},{"job_id":"y","labels":{"":""}}]}
                """#)
            #expect(answer.status == 200)
            let results = try #require(answer.json["results"] as? [[String: Any]], "\(answer.text)")
            #expect(
                results.map { ($0["job"] as? [String: Any])?["job_id"] as? String }
                    == ["child", nil, nil, "old", nil, "parent", nil])
            #expect(results.map { $0["already_existed"] as? Bool } == [false, nil, nil, true, nil, false, nil])
            #expect(results.map { $0["status"] as? Int } == [nil, 400, 409, nil, 400, nil, 400])
            let errors = results.compactMap { $0["ok"] as? Bool == false ? $0["error"] as? String : nil }
            #expect(errors.count == 4)
            for (error, words) in zip(errors, ["jobs[1].timeout 1", "priority", "jobs[4] must be", "label key"]) {
                #expect(error.contains(words), "\(error)")
            }
            #expect(!answer.text.contains("secret"))
            #expect(try await fixture.ledger.job("child").openParents == 1)
            #expect(try await client.send(.post, "/v1/jobs", #"{"jobs":[]}"#).text == #"{"results":[]}"#)
        }
    }

    @Test func `a batch larger than the limit is refused whole`() async throws {
        try await GatewayFixture.test { client, fixture in
            func batch(_ count: Int) -> String {
                "{\"jobs\":[" + [String](repeating: "{}", count: count).joined(separator: ",") + "]}"
            }
            let refused = try await client.send(.post, "/v1/jobs", batch(Ledger.largestBatch + 1))
            #expect(refused.status == 400)
            #expect(refused.error?.contains("1001 in one call; send at most 1000") == true, "\(refused.text)")
            #expect(fixture.ledger.openJobs().isEmpty)
            let taken = try await client.send(.post, "/v1/jobs", batch(Ledger.largestBatch))
            #expect((taken.json["results"] as? [Any])?.count == Ledger.largestBatch)
            #expect(fixture.ledger.openJobs().count == Ledger.largestBatch)
        }
    }

    @Test func `jobs keep to what bodies, callers and a server that stops keep to`() async throws {
        var small = GatewayConfiguration(port: 0)
        small.maxBodyBytes = 100
        try await GatewayFixture.test(configuration: small) { client, fixture in
            for path in ["/v1/jobs", "/v1/jobs/a/cancel"] {
                let body = "{\"jobs\":[\(String(repeating: " ", count: 100))]}"
                #expect(try await client.send(.post, path, body).status == 413)
                let foreign = try await client.send(.post, path, "{}", headers: [.origin: "https://evil.example"])
                #expect(foreign.status == 403)
            }
            fixture.refuse(OrchestratorError(.resourceExhausted(retryAfter: .seconds(2)), "full"))
            let full = try await client.send(.post, "/v1/jobs", "{}")
            #expect(full.status == 429)
            #expect(full.headers[.retryAfter] == "2")
            #expect(
                try await client.send(.post, "/v1/jobs", #"{"jobs":[{}]}"#).text
                    == #"{"results":[{"ok":false,"error":"full","status":429}]}"#)
            fixture.drain()
            for body in ["{}", #"{"jobs":[{}]}"#] {
                let answer = try await client.send(.post, "/v1/jobs", body)
                #expect(answer.status == 503)
                #expect(answer.headers[.retryAfter] == "1")
            }
            #expect(fixture.ledger.openJobs().isEmpty)
        }
    }

    @Test func `a job is cancelled, and again, with the first reason`() async throws {
        try await GatewayFixture.test { client, fixture in
            _ = try await fixture.ledger.submit(JobSpec(id: "a=b"))
            let first = try await client.send(.post, "/v1/jobs/a%3Db/cancel", #"{"reason":"not \"needed\""}"#)
            #expect(first.status == 200, "\(first.text)")
            #expect(first.json["state"] as? String == "cancelled")
            #expect((first.json["error"] as? String)?.contains(#"not "needed""#) == true)
            for body in ["", "{}", #"{"reason":"late"}"#] {
                #expect(try await client.send(.post, "/v1/jobs/a=b/cancel", body).text == first.text)
            }
            #expect(try await fixture.ledger.job("a=b").cancelSource ?? "http" == "http")
        }
    }

    @Test func `a running job is asked to end, also when the server stops`() async throws {
        try await GatewayFixture.test { client, fixture in
            _ = try await fixture.ledger.submit(JobSpec(id: "a"))
            _ = try await fixture.ledger.start("a")
            fixture.drain()
            let answer = try await client.send(.post, "/v1/jobs/a/cancel")
            #expect(answer.json["state"] as? String == "running")
            let job = try await fixture.ledger.job("a")
            #expect(job.isToStop)
            #expect(job.cancelSource == "http")
        }
    }

    @Test(arguments: [
        ("nope", "", 404, "nope"), ("a", "{", 400, "not JSON"), ("a", "[]", 400, "an object with reason"),
        ("a", #"{"reason":1}"#, 400, "reason must be a string"), ("a", #"{"why":"x"}"#, 400, "why is not a field"),
        ("a", "{\"reason\":\"\(String(repeating: "x", count: 1_025))\"}", 400, "1025 bytes"),
    ])
    func `a cancel that is none changes nothing`(id: String, body: String, status: Int, words: String) async throws {
        try await GatewayFixture.test { client, fixture in
            _ = try await fixture.ledger.submit(JobSpec(id: "a"))
            let answer = try await client.send(.post, "/v1/jobs/\(id)/cancel", body)
            #expect(answer.status == status)
            #expect(answer.error?.contains(words) == true, "\(answer.text)")
            #expect(try await fixture.ledger.job("a").state == .queued)
        }
    }

    @Test(arguments: [
        ("nope", "", 404, "nope"), ("a", "", 400, "is of class cpu_short"), ("a", "{", 400, "not JSON"),
        ("a", #"{"reason":1}"#, 400, "reason must be a string"),
        ("a", "{\"reason\":\"\(String(repeating: "x", count: 1_025))\"}", 400, "1025 bytes"),
    ])
    func `a requeue of what is not in Slurm changes nothing`(
        id: String, body: String, status: Int, words: String
    ) async throws {
        try await GatewayFixture.test { client, fixture in
            let job = try await fixture.ledger.submit(JobSpec(id: "a")).job
            let answer = try await client.send(.post, "/v1/jobs/\(id)/requeue", body)
            #expect(answer.status == status)
            #expect(answer.error?.contains(words) == true, "\(answer.text)")
            #expect(try await fixture.ledger.job("a") == job)
        }
    }

    @Test func `while Slurm is away a requeue is told when to come again`() {
        let away = OrchestratorError(.unavailable, "away").retrying(after: .seconds(5))
        #expect(Response.refusal(away).headers[.retryAfter] == "5")
        #expect(Response.refusal(OrchestratorError(.unavailable, "away")).headers[.retryAfter] == "1")
    }
}
