import Foundation
import HTTPTypes
import HummingbirdTesting
import Orchestrator
import Testing

@testable import Gateway

@Suite struct JobRoutesTests {
    @Test func `a job is told whole, in the contract's names and words`() async throws {
        try await GatewayFixture.test { client, fixture in
            var spec = JobSpec(id: "a", jobClass: .gpu, payload: Array(#"{"n": 1.50}"#.utf8), priority: -3)
            spec.labels = ["k\"": "é\\", "a": "b"]
            _ = try await fixture.ledger.submit(spec)
            let queued = try await client.get("/v1/jobs/a")
            #expect(queued.status == 200)
            #expect(queued.headers[.contentType] == "application/json")
            #expect(queued.json["state"] as? String == "queued")
            for key in ["started_at", "finished_at", "failure_reason", "result", "slurm_job_id"] {
                #expect(queued.json[key] is NSNull, "\(key)")
            }

            _ = try await fixture.ledger.start("a")
            let outcome = AttemptOutcome(
                exitCode: 3, failure: .exitCode, error: "it said \"no\"", result: Array(#"{"x" :[1]}"#.utf8))
            let job = try await fixture.ledger.finish("a", attempt: 1, outcome)
            let ended = try await client.get("/v1/jobs/a")
            let times = [job.submittedAt, try #require(job.startedAt), try #require(job.finishedAt)].map(\.rfc3339)
            #expect(
                ended.text == #"""
                    {"job_id":"a","job_class":"gpu","state":"failed","attempt":1,"submitted_at":"\#(times[0])",\#
                    "started_at":"\#(times[1])","finished_at":"\#(times[2])","exit_code":3,"signal":0,\#
                    "failure_reason":"exit_code","error":"it said \"no\"","result":{"x" :[1]},"payload":{"n": 1.50},\#
                    "slurm_job_id":null,"labels":{"a":"b","k\"":"é\\"},"priority":-3,"last_sequence":3,\#
                    "depends_on":[],"deadline":null}
                    """#)
        }
    }

    @Test func `an id may be percent-encoded`() async throws {
        try await GatewayFixture.test { client, fixture in
            _ = try await fixture.ledger.submit(JobSpec(id: "a=b+c,d@e~f:g"))
            for path in ["a=b+c,d@e~f:g", "a%3Db%2Bc%2Cd%40e~f%3Ag"] {
                #expect(try await client.get("/v1/jobs/\(path)").json["job_id"] as? String == "a=b+c,d@e~f:g")
            }
        }
    }

    @Test func `an unknown job is named`() async throws {
        try await GatewayFixture.test { client, _ in
            let answer = try await client.get("/v1/jobs/nope")
            #expect(answer.status == 404)
            #expect(answer.error?.contains("nope") == true)
            let slurm = try await client.get("/slurm/status/nope")
            #expect(slurm.status == 404)
            #expect(slurm.error?.contains("nope") == true)
        }
    }

    @Test func `jobs are listed newest first, filtered and in pages, without their content`() async throws {
        try await GatewayFixture.test { client, fixture in
            for number in 0..<5 {
                var spec = JobSpec(id: "j\(number)", jobClass: number == 2 ? .gpu : .cpuShort)
                spec.labels = ["parity": number % 2 == 0 ? "even" : "odd", "x": "a=b"]
                _ = try await fixture.ledger.submit(spec)
            }
            _ = try await fixture.ledger.start("j4")
            func ids(_ query: String) async throws -> [String] {
                let jobs = try await client.get("/v1/jobs" + query).json["jobs"] as? [[String: Any]] ?? []
                #expect(jobs.allSatisfy { $0["payload"] == nil && $0["result"] == nil })
                return jobs.compactMap { $0["job_id"] as? String }
            }
            #expect(try await ids("") == ["j4", "j3", "j2", "j1", "j0"])
            #expect(try await ids("?state=running") == ["j4"])
            #expect(try await ids("?class=gpu&class=cpu_long") == ["j2"])
            #expect(try await ids("?class=gpu,cpu_short&state=queued&label=parity=odd") == ["j3", "j1"])
            #expect(try await ids("?label=parity%3Deven&label=x%3Da%3Db") == ["j4", "j2", "j0"])

            let first = try await client.get("/v1/jobs?page_size=3")
            let token = try #require(first.json["next_page_token"] as? String)
            #expect(try await ids("?page_size=3&page_token=\(token)") == ["j1", "j0"])
        }
    }

    @Test(arguments: [
        ("state=done", "queued, submitted, running"), ("class=tpu", "cpu_short"), ("label=x", "key=value"),
        ("page_size=x", "page_size"), ("page_size=5000", "page_size"), ("page_token=x", "page_token"),
        ("colour=red", "colour"),
    ])
    func `a filter that is none is refused with what is allowed`(query: String, words: String) async throws {
        try await GatewayFixture.test { client, _ in
            let answer = try await client.get("/v1/jobs?\(query)")
            #expect(answer.status == 400)
            #expect(answer.error?.contains(words) == true, "\(answer.text)")
        }
    }
}
