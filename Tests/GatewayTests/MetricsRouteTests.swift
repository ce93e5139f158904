import HTTPTypes
import HummingbirdTesting
import Orchestrator
import Testing

@testable import Gateway

@Suite struct MetricsRouteTests {
    @Test func `metrics come in the format that is asked for`() async throws {
        try await GatewayFixture.test { client, fixture in
            // The second is nothing new, and answered once the metrics have been told of the first.
            for _ in 0..<2 { _ = try await fixture.ledger.submit(JobSpec(id: "a", jobClass: .gpu)) }
            let text = try await client.get("/metrics")
            #expect(text.headers[.contentType] == "text/plain; version=0.0.4; charset=utf-8")
            #expect(text.text.contains("\nenv_queue_depth{class=\"gpu\"} 1\n"))
            #expect(text.text.contains("\nevents_published_total{type=\"task_submitted\"} 1\n"))
            let open = try await client.get("/metrics", headers: [.accept: "application/openmetrics-text"])
            #expect(open.headers[.contentType] == "application/openmetrics-text; version=1.0.0; charset=utf-8")
            #expect(open.text.hasSuffix("# EOF\n"))
        }
    }

    @Test func `switched off, there are none`() async throws {
        try await GatewayFixture.test(isMetricsEnabled: false) { client, _ in
            let answer = try await client.get("/metrics")
            #expect(answer.status == 404)
            #expect(answer.error?.contains("METRICS_ENABLED") == true)
        }
    }

    @Test func `requests are counted by route, never by a path somebody made up`() async throws {
        try await GatewayFixture.test { client, _ in
            _ = try await client.get("/v1/jobs/secret-id")
            _ = try await client.get("/made/up")
            let text = try await client.get("/metrics").text
            #expect(text.contains("gateway_requests_total{method=\"GET\",route=\"/v1/jobs/{id}\",code=\"404\"} 1\n"))
            #expect(text.contains("gateway_requests_total{method=\"GET\",route=\"other\",code=\"404\"} 1\n"))
            #expect(!text.contains("secret-id") && !text.contains("made"))
        }
    }
}
