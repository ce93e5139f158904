import Testing

@testable import Orchestrator

@Suite struct SubmissionRulesTests {
    let rules = SubmissionRules(maxPayloadBytes: 1_000)

    func field(_ spec: JobSpec) -> String? {
        do {
            _ = try rules.checked(spec)
            return nil
        } catch {
            if case .invalidArgument(let field) = error.kind { return field }
            return "\(error.kind)"
        }
    }

    @Test(arguments: ["a", "A9._:@+=~,-", "_x", String(repeating: "x", count: 128)])
    func anIDOfTheAllowedCharactersIsTaken(id: String) { #expect(field(JobSpec(id: id)) == nil) }

    @Test(arguments: [".", "..", ".a", "-a", "a/b", "a b", "ä", "a\0", "a\n", String(repeating: "x", count: 129)])
    func anyOtherIDIsRefused(id: String) { #expect(field(JobSpec(id: id)) == "job_id") }

    @Test(
        arguments: [
            "{}", " {\"a\": [1, -2.5e+3, true, false, null, {}, []], \"b\": \"\\u00e4\\n\"} ", "{\"ä\":\"日本𝄞\"}",
            "{\"a\":0}", "{\"a\":{\"b\":[[]]}}", "",
        ])
    func aJSONObjectIsAPayload(text: String) { #expect(field(JobSpec(payload: Array(text.utf8))) == nil) }

    @Test(
        arguments: [
            "[]", "1", "null", "{", "{}}", "{} x", "{a:1}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\":01}",
            "{\"a\":+1}",
            "{\"a\":.5}", "{\"a\":1.}", "{\"a\":1e}", "{\"a\":tru}", "{\"a\":\"\\x\"}", "{\"a\":\"\\u12g4\"}",
            "{\"a\":\"\n\"}",
            "{\"a\":\"b}", "{\"a\":[1 2]}", "{'a':1}", " ",
        ])
    func anythingElseIsNoPayload(text: String) { #expect(field(JobSpec(payload: Array(text.utf8))) == "payload") }

    @Test(
        arguments: [
            [0xFF], [0xC0, 0x80], [0xC3], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xE0, 0x80, 0x80], [0x80],
        ] as [[UInt8]])
    func aPayloadThatIsNotUTF8IsRefused(bytes: [UInt8]) {
        #expect(field(JobSpec(payload: Array("{\"a\":\"".utf8) + bytes + Array("\"}".utf8))) == "payload")
    }

    @Test func aPayloadMayNestOnlySoDeep() {
        func nested(_ depth: Int) -> JobSpec {
            JobSpec(
                payload: Array(
                    ("{\"a\":" + String(repeating: "[", count: depth) + String(repeating: "]", count: depth) + "}").utf8
                ))
        }
        #expect(field(nested(255)) == nil)
        #expect(field(nested(256)) == "payload")
    }

    @Test func aLargePayloadIsRefused() {
        func spec(_ bytes: Int) -> JobSpec {
            JobSpec(payload: Array("{\"a\":\"\(String(repeating: "x", count: bytes - 8))\"}".utf8))
        }
        #expect(field(spec(1_000)) == nil)
        #expect(field(spec(1_001)) == "payload")
    }

    @Test func labelsHaveLimits() {
        func labels(_ count: Int) -> [String: String] {
            Dictionary(uniqueKeysWithValues: (0..<count).map { ("k\($0)", "") })
        }
        #expect(field(JobSpec(labels: labels(64))) == nil)
        for bad in [
            labels(65), ["": "x"], [String(repeating: "k", count: 64): ""],
            ["k": String(repeating: "v", count: 256)], ["k\n": ""], ["k": "\u{7F}"],
        ] {
            #expect(field(JobSpec(labels: bad)) == "labels")
        }
    }

    @Test func timesAndRetriesHaveLimits() {
        #expect(field(JobSpec(timeout: .seconds(365 * 86_400))) == nil)
        #expect(field(JobSpec(timeout: .zero)) == "timeout")
        #expect(field(JobSpec(timeout: .seconds(-1))) == "timeout")
        #expect(field(JobSpec(timeout: .seconds(365 * 86_400 + 1))) == "timeout")
        #expect(field(JobSpec(retry: RetryPolicy(maxAttempts: 101))) == "retry.max_attempts")
        #expect(field(JobSpec(retry: RetryPolicy(initialBackoff: .seconds(-1)))) == "retry.initial_backoff")
        #expect(field(JobSpec(retry: RetryPolicy(maxBackoff: .seconds(-1)))) == "retry.max_backoff")
        #expect(field(JobSpec(retry: RetryPolicy(retryOn: [1, 11]))) == "retry.retry_on")
    }

    @Test func aSlurmJobIsRefusedUntilThereIsABridge() {
        let error = #expect(throws: OrchestratorError.self) { try rules.checked(JobSpec(jobClass: .gpuSlurm)) }
        #expect(error?.kind == .failedPrecondition)
    }

    @Test func aMadeIDIsAUUIDOfVersion7() {
        let id = JobID.make(at: Timestamp(nanoseconds: 0x0123_4567_89AB * 1_000_000), random: (.max, .max))
        #expect(id == "01234567-89ab-7fff-bfff-ffffffffffff")
        #expect(JobID.make(at: Timestamp(nanoseconds: 0), random: (0, 0)) == "00000000-0000-7000-8000-000000000000")
    }
}
