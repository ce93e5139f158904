import Foundation
import Logging
import Orchestrator
import ServiceLifecycle
import Testing

@testable import Gateway

@Suite(.timeLimit(.minutes(5))) struct GatewayServerTests {
    /// Runs a server on a free port, and stops it as SIGTERM would.
    private func serving(
        _ adjust: (inout GatewayConfiguration) -> Void = { _ in },
        _ body: @escaping @Sendable (_ port: Int, _ fixture: GatewayFixture) async throws -> Void
    ) async throws {
        var configuration = GatewayConfiguration(port: 0)
        adjust(&configuration)
        try await GatewayFixture.with { fixture in
            let (ports, listening) = AsyncStream.makeStream(of: Int.self)
            let server = fixture.server(configuration: configuration) { host, port in
                #expect(host == "127.0.0.1")
                listening.yield(port)
            }
            let group = ServiceGroup(services: [server], logger: Logger(label: "test"))
            let running = Task { try await group.run() }
            let port = try #require(await ports.first { _ in true })
            let result = await Task { try await body(port, fixture) }.result
            await group.triggerGracefulShutdown()
            try await running.value
            try result.get()
        }
    }

    private func request(_ line: String, _ headers: String..., body: String = "") -> String {
        ([line + " HTTP/1.1", "Host: 127.0.0.1"] + headers).joined(separator: "\r\n") + "\r\n\r\n" + body
    }

    @Test func `it tells its port, answers there, and ends when asked to`() async throws {
        try await serving { port, fixture in
            let connection = try RawConnection(port: port)
            connection.write(request("GET /livez"))
            #expect(await connection.read(until: "ok")?.hasPrefix("HTTP/1.1 200") == true)
            // The connection is kept.
            connection.write(request("POST /queue/submit", "Content-Length: 10", body: #"{"id":"a"}"#))
            #expect(await connection.read(until: #"{"ok":true,"id":"a"}"#)?.hasPrefix("HTTP/1.1 200") == true)
            #expect(fixture.ledger.cachedJob("a") != nil)
        }
    }

    @Test func `a port that is taken is named`() async throws {
        try await serving { port, fixture in
            let second = fixture.server(configuration: GatewayConfiguration(port: port))
            let error = await #expect(throws: OrchestratorError.self) {
                try await ServiceGroup(services: [second], logger: Logger(label: "test")).run()
            }
            #expect(error?.kind == .unavailable)
            #expect(error?.message.contains("127.0.0.1:\(port)") == true)
        }
    }

    @Test func `a body over the limit is refused and its connection closed, announced or not`() async throws {
        try await serving({ $0.maxBodyBytes = 100 }) { port, fixture in
            let announced = try RawConnection(port: port)
            announced.write(request("POST /queue/submit", "Content-Length: 101"))
            #expect(await announced.readToEnd()?.hasPrefix("HTTP/1.1 413") == true)

            let chunked = try RawConnection(port: port)
            let chunk = "40\r\n" + String(repeating: " ", count: 64) + "\r\n"
            chunked.write(request("POST /queue/submit", "Transfer-Encoding: chunked", body: chunk + chunk))
            #expect(await chunked.readToEnd()?.hasPrefix("HTTP/1.1 413") == true)
            #expect(fixture.ledger.openJobs().isEmpty)
        }
    }

    @Test func `a body that does not come is given up`() async throws {
        try await serving({ $0.bodyTimeout = .milliseconds(50) }) { port, _ in
            let connection = try RawConnection(port: port)
            connection.write(request("POST /queue/submit", "Content-Length: 10", body: "{"))
            #expect(await connection.readToEnd()?.hasPrefix("HTTP/1.1 408") == true)
        }
    }

    @Test func `header fields over the limit are refused`() async throws {
        try await serving { port, _ in
            let connection = try RawConnection(port: port)
            connection.write(request("GET /livez", "X-Big: " + String(repeating: "x", count: 20 << 10)))
            let answer = await connection.readToEnd()
            #expect(answer?.hasPrefix("HTTP/1.1 400") == true || answer?.isEmpty == true, "\(answer ?? "nothing")")
        }
    }

    @Test func `what is not HTTP is refused, and others are still served`() async throws {
        try await serving { port, _ in
            let connection = try RawConnection(port: port)
            connection.write("\u{16}\u{3}\u{1}nonsense\r\n\r\n")
            #expect(await connection.readToEnd() != nil)
            let other = try RawConnection(port: port)
            other.write(request("GET /livez", "Connection: close"))
            #expect(await other.readToEnd()?.hasPrefix("HTTP/1.1 200") == true)
        }
    }

    @Test func `a connection that says nothing is closed`() async throws {
        try await serving({ $0.idleTimeout = .milliseconds(50) }) { port, _ in
            #expect(await (try RawConnection(port: port)).readToEnd() == "")
            let half = try RawConnection(port: port)
            half.write("GET /livez HTTP/1.1\r\nHost:")
            #expect(await half.readToEnd() == "")
        }
    }

    @Test func `a name that was made to point here is refused`() async throws {
        try await serving { port, _ in
            let connection = try RawConnection(port: port)
            connection.write("GET /v1/jobs HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
            #expect(await connection.readToEnd()?.hasPrefix("HTTP/1.1 403") == true)
        }
    }

    @Test func `a request that never ends holds up the shutdown no longer than the grace`() async throws {
        let stuck = StuckConnection()
        try await serving({ configuration in
            configuration.shutdownGrace = .milliseconds(100)
            configuration.idleTimeout = .seconds(3_600)
        }) { port, _ in
            let connection = try RawConnection(port: port)
            connection.write(request("POST /queue/submit", "Content-Length: 10", "Expect: nothing", body: "{"))
            // Another one's answer shows that the server has seen bytes by now.
            let other = try RawConnection(port: port)
            other.write(request("GET /livez", "Connection: close"))
            _ = await other.readToEnd()
            await stuck.keep(connection)
        }
        // The server has stopped, or this would hang: the connection is still open on this side.
        await stuck.letGo()
    }

    @Test func `a quiet stream of events says so now and then, and is not taken for an idle connection`() async throws {
        try await serving({ configuration in
            configuration.heartbeat = .milliseconds(50)
            configuration.idleTimeout = .seconds(1)
        }) { port, fixture in
            let connection = try RawConnection(port: port)
            connection.write(request("GET /v1/events"))
            let beat = ": nothing new\n\n"
            let quiet = await connection.read(until: String(repeating: "f\r\n\(beat)\r\n", count: 30))
            #expect(quiet?.contains("retry: 1000") == true)
            _ = try await fixture.ledger.submit(JobSpec(id: "a"))
            #expect(await connection.read(until: #""job_id":"a""#)?.contains("id: 1\n") == true)
        }
    }

    @Test func `streams over the limit are refused, and one that ends makes room`() async throws {
        try await serving({ $0.maxStreams = 1 }) { port, fixture in
            _ = try await fixture.ledger.submit(JobSpec(id: "a"))
            let first = try RawConnection(port: port)
            first.write(request("GET /v1/events?job_id=a&end_when_done=1"))
            _ = await first.read(until: "id: 1\n")
            let second = try RawConnection(port: port)
            second.write(request("GET /v1/events", "Connection: close"))
            let refusal = await second.readToEnd()
            #expect(refusal?.hasPrefix("HTTP/1.1 503") == true)
            #expect(refusal?.lowercased().contains("retry-after: 1") == true)
            _ = try await fixture.ledger.cancel("a", reason: "", source: "http")
            #expect(await first.read(until: "\r\n0\r\n\r\n")?.contains("task_cancelled") == true)
            // The next request on a connection is answered once the response before it is over and gone.
            first.write(request("GET /nowhere"))
            #expect(await first.read(until: "HTTP/1.1 404")?.hasPrefix("HTTP/1.1 404") == true)
            let third = try RawConnection(port: port)
            third.write(request("GET /v1/events"))
            #expect(await third.read(until: "id: 2\n")?.hasPrefix("HTTP/1.1 200") == true)
        }
    }

    @Test func `a reader that takes nothing loses its connection`() async throws {
        try await serving({ $0.writeTimeout = .seconds(2) }) { port, fixture in
            // More than the kernel's buffers hold.
            for start in stride(from: 0, to: 40_000, by: 4_000) {
                let specs = (start..<start + 4_000).map { JobSpec(id: "\(String(repeating: "x", count: 100))-\($0)") }
                for result in await fixture.ledger.submit(specs) { _ = try result.get() }
            }
            let connection = try RawConnection(port: port)
            connection.write(request("GET /v1/events"))
            let streams = fixture.registry.gauge("gateway_streams", help: "")[]
            while streams.value == .number(0) { try await Task.sleep(for: .milliseconds(5)) }
            while streams.value != .number(0) { try await Task.sleep(for: .milliseconds(5)) }
            let rest = await connection.readToEnd()
            #expect(rest?.contains("id: 40000\n") == false)
        }
    }
}

/// Keeps a connection open beyond the closure that made it.
private actor StuckConnection {
    private var connection: RawConnection?
    func keep(_ connection: RawConnection) { self.connection = connection }
    func letGo() { connection = nil }
}
