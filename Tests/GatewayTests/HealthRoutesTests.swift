import HTTPTypes
import HummingbirdTesting
import Testing

@testable import Gateway

@Suite struct HealthRoutesTests {
    @Test func `health tells version, uptime and every check`() async throws {
        try await GatewayFixture.test { client, fixture in
            let healthy = try await client.get("/health")
            #expect(healthy.status == 200)
            #expect(
                healthy.text
                    == #"{"status":"healthy","version":"1.2.3","uptime_seconds":90.0,"draining":false,"checks":{"ledger":{"status":"healthy"}}}"#
            )
            fixture.check(HealthCheck(name: "ledger", isHealthy: false, detail: "the disk is full"))
            let degraded = try await client.get("/health")
            #expect(degraded.status == 200)
            #expect(degraded.json["status"] as? String == "degraded")
            let checks = degraded.json["checks"] as? [String: [String: String]]
            #expect(checks?["ledger"] == ["status": "degraded", "detail": "the disk is full"])
        }
    }

    @Test func `a live process is live, whatever else fails`() async throws {
        try await GatewayFixture.test { client, fixture in
            fixture.check(HealthCheck(name: "ledger", isHealthy: false, detail: "gone"))
            fixture.drain()
            let brief = try await client.get("/livez")
            #expect(brief.text == "ok")
            let verbose = try await client.get("/livez?verbose")
            #expect(verbose.text == "[+]ping ok\nlivez check passed\n")
        }
    }

    @Test func `it is not ready while it drains`() async throws {
        try await GatewayFixture.test { client, fixture in
            #expect(try await client.get("/readyz").text == "ok")
            fixture.retire()
            let answer = try await client.get("/readyz")
            #expect(answer.status == 503)
            #expect(answer.text.contains("[-]shutdown failed: the server is stopping"))
        }
    }

    @Test func `a required check makes it unready, another only shows`() async throws {
        try await GatewayFixture.test { client, fixture in
            fixture.check(HealthCheck(name: "sink", isHealthy: false, detail: "behind", isRequired: false))
            let behind = try await client.get("/readyz?verbose")
            #expect(behind.status == 200)
            #expect(behind.text == "[+]shutdown ok\n[-]sink failed, not required: behind\nreadyz check passed\n")
            fixture.check(HealthCheck(name: "ledger", isHealthy: false, detail: "the disk is full"))
            #expect(try await client.get("/readyz").status == 503)
        }
    }
}
