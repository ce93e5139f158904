import Foundation
import HTTPTypes
import HummingbirdTesting
import Orchestrator
import Testing

@testable import Gateway

@Suite struct QueueRoutesTests {
    @Test func `a submitted job is durable, from http, and its payload is kept byte for byte`() async throws {
        try await GatewayFixture.test { client, fixture in
            let payload =
                "{ \"command\" : [\"echo\", \"a\\u00e9 \\\\\\\"}{\"],\n \"payload\":{\"n\":1.0e0}, \"class\":\"gpu\" }"
            let answer = try await client.send(
                .post, "/queue/submit",
                "{\"payload\": \(payload) , \"id\":\"a-1\",\"class\":\"cpu_long\",\"more\":[{}]}")
            #expect(answer.status == 200)
            #expect(answer.text == #"{"ok":true,"id":"a-1"}"#)
            let job = try await fixture.ledger.job("a-1")
            #expect(job.spec.source == .http)
            #expect(job.jobClass == .cpuLong)
            #expect(String(decoding: job.spec.payload, as: UTF8.self) == payload)
        }
    }

    @Test func `everything may be left out`() async throws {
        try await GatewayFixture.test { client, fixture in
            for body in ["{}", #"{"id":null,"class":null,"payload":null}"#] {
                let answer = try await client.send(.post, "/queue/submit", body)
                let id = try #require(answer.json["id"] as? String)
                let job = try await fixture.ledger.job(id)
                #expect(job.jobClass == .cpuShort)
                #expect(job.spec.payload == Array("{}".utf8))
            }
        }
    }

    @Test(arguments: [
        ("", "not JSON"), ("{", "not JSON"), ("{\"id\":\"\u{1}\"}", "not JSON"), ("[]", "must be a JSON object"),
        ("1", "must be a JSON object"), (#"{"id":7}"#, "id must be a string, not a number"),
        (#"{"id":""}"#, "id is empty"), (#"{"id":"../x"}"#, "../x"),
        (#"{"class":"tpu"}"#, "cpu_short, cpu_long, gpu, gpu_slurm"),
        (#"{"payload":[1]}"#, "payload must be an object, not an array"),
        (#"{"payload":"x"}"#, "payload must be an object, not a string"),
    ])
    func `a body that is no task is refused with what is wrong`(body: String, words: String) async throws {
        try await GatewayFixture.test { client, fixture in
            let answer = try await client.send(.post, "/queue/submit", body)
            #expect(answer.status == 400)
            #expect(answer.error?.contains(words) == true, "\(answer.text)")
            #expect(fixture.ledger.openJobs().isEmpty)
        }
    }

    @Test(arguments: ["[", "{\"a\":", "{\"payload\":["])
    func `a body that nests without end is refused`(opening: String) async throws {
        try await GatewayFixture.test { client, _ in
            let deep = String(repeating: opening, count: (1 << 20) / opening.utf8.count)
            let answer = try await client.send(.post, "/queue/submit", deep)
            #expect(answer.status == 400)
            #expect(answer.error != nil)
        }
    }

    @Test(arguments: ["1e999999", "123456789012345678901234567890", "-0", "\"\\ud83d\\ude00\""])
    func `an unusual value in a payload is kept`(value: String) async throws {
        try await GatewayFixture.test { client, fixture in
            let answer = try await client.send(.post, "/queue/submit", "{\"id\":\"a\",\"payload\":{\"n\":\(value)}}")
            #expect(answer.status == 200, "\(answer.text)")
            #expect(fixture.ledger.cachedJob("a")?.spec.payload == Array("{\"n\":\(value)}".utf8))
        }
    }

    @Test func `the same task again is the same job, another under its id a conflict`() async throws {
        try await GatewayFixture.test { client, _ in
            for _ in 0..<2 {
                let answer = try await client.send(.post, "/queue/submit", #"{"id":"a","payload":{"n":1}}"#)
                #expect(answer.text == #"{"ok":true,"id":"a"}"#)
            }
            let other = try await client.send(.post, "/queue/submit", #"{"id":"a","payload":{"n":2}}"#)
            #expect(other.status == 409)
            #expect(other.error?.contains("\"a\"") == true)
        }
    }

    @Test(arguments: [
        (OrchestratorError(.resourceExhausted(retryAfter: .milliseconds(1500)), "full"), 429, "2"),
        (OrchestratorError(.unavailable, "stopping"), 503, "1"),
        (OrchestratorError(.failedPrecondition, "no bridge"), 400, nil),
        (OrchestratorError(.unimplemented, "not yet"), 501, nil),
        (OrchestratorError(.internal, "broken"), 500, nil),
    ])
    func `each refusal has its status`(error: OrchestratorError, status: Int, retryAfter: String?) async throws {
        try await GatewayFixture.test { client, fixture in
            fixture.refuse(error)
            let answer = try await client.send(.post, "/queue/submit", "{}")
            #expect(answer.status == status)
            #expect(answer.error == error.message)
            #expect(answer.headers[.retryAfter] == retryAfter)
        }
    }

    @Test func `a server that stops takes no jobs once it winds up`() async throws {
        try await GatewayFixture.test { client, fixture in
            fixture.retire()
            #expect(try await client.send(.post, "/queue/submit", "{}").status == 200)
            fixture.drain()
            let answer = try await client.send(.post, "/queue/submit", "{}")
            #expect(answer.status == 503)
            #expect(answer.headers[.retryAfter] == "1")
        }
    }

    @Test func `a page of another site can't submit`() async throws {
        try await GatewayFixture.test { client, fixture in
            let answer = try await client.send(
                .post, "/queue/submit", "{}", headers: [.origin: "https://evil.example", .contentType: "text/plain"])
            #expect(answer.status == 403)
            #expect(fixture.ledger.openJobs().isEmpty)
        }
    }

    @Test func `the counts are of the ledger`() async throws {
        try await GatewayFixture.test { client, fixture in
            for id in ["a", "b", "c", "d"] { _ = try await fixture.ledger.submit(JobSpec(id: id)) }
            for id in ["a", "b", "c"] { _ = try await fixture.ledger.start(id) }
            _ = try await fixture.ledger.finish("a", attempt: 1, AttemptOutcome())
            _ = try await fixture.ledger.finish("b", attempt: 1, AttemptOutcome(exitCode: 1, failure: .exitCode))
            let answer = try await client.get("/queue/status")
            #expect(
                answer.text
                    == #"{"pending":1,"running":1,"done":2,"failed":1,"submitted":4,"processed":2,"completed":1}"#)
        }
    }
}
