import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import Orchestrator
import Synchronization

/// RedDB's HTTP routes for one stream.
final class RedDBClient: Sendable {
    struct Answer: Sendable {
        var status: UInt
        var body: [UInt8]
    }

    /// A record as the stream has it.
    struct Record: Sendable {
        var offset: UInt64
        var value: [UInt8]
    }

    private let configuration: RedDBConfiguration
    private let client: HTTPClient
    private let token: Mutex<String?>
    /// Of an answer's body, in bytes. A page of records is at most one record.
    private static let maxAnswer = 1 << 20

    init(_ configuration: RedDBConfiguration) {
        self.configuration = configuration
        token = Mutex(configuration.token())
        var settings = HTTPClient.Configuration()
        // The token is for the server that was named, and for no other.
        settings.redirectConfiguration = .disallow
        settings.timeout.connect = .nanoseconds(configuration.timeout.nanoseconds)
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
    }

    func append(_ value: [UInt8]) async throws -> Answer {
        var request = HTTPClientRequest(url: streamURL + "/append")
        request.method = .POST
        request.headers.add(name: "Content-Type", value: "application/json")
        request.body = .bytes(value)
        return try await answer(to: request)
    }

    /// The first record at an offset or behind it; nil when there is none.
    ///
    /// - Throws: `RedDBError` for any answer but a success.
    func record(from offset: UInt64) async throws -> Record? {
        let answer = try await answer(to: HTTPClientRequest(url: streamURL + "/read?start=\(offset)&count=1"))
        guard answer.status == 200 else {
            throw RedDBError("a read", status: answer.status, body: answer.body)
        }
        guard let list = try? JSONSerialization.jsonObject(with: Data(answer.body)) as? [[String: Any]] else {
            throw RedDBError("reddb: a read was answered with no list of records")
        }
        guard let first = list.first, let offset = (first["offset"] as? NSNumber)?.uint64Value,
            let value = first["value"]
        else { return nil }
        let text = (value as? String).map { Data($0.utf8) } ?? (try? JSONSerialization.data(withJSONObject: value))
        return Record(offset: offset, value: text.map { [UInt8]($0) } ?? [])
    }

    /// Whether the server says that it is well.
    func isHealthy() async -> Bool {
        let answer = try? await answer(to: HTTPClientRequest(url: configuration.url + "/health"))
        return answer?.status == 200
    }

    /// The token is asked for anew: it may have been changed on both sides.
    func renewToken() {
        let fresh = configuration.token()
        token.withLock { $0 = fresh }
    }

    func close() async { try? await client.shutdown() }

    private var streamURL: String {
        "\(configuration.url)/api/streams/\(configuration.namespace)/\(configuration.stream)"
    }

    private func answer(to request: HTTPClientRequest) async throws -> Answer {
        var request = request
        if let token = token.withLock({ $0 }) { request.headers.add(name: "Authorization", value: "Bearer \(token)") }
        request.headers.add(name: "User-Agent", value: "dspy-orchestrator")
        do {
            let response = try await client.execute(
                request, timeout: .nanoseconds(configuration.timeout.nanoseconds))
            let body = try await response.body.collect(upTo: Self.maxAnswer)
            return Answer(status: response.status.code, body: Array(body.readableBytesView))
        } catch let error as HTTPClientError where Self.timeouts.contains(error) {
            throw RedDBError("reddb: no answer from \(configuration.url) within \(configuration.timeout)")
        } catch {
            try Task.checkCancellation()
            throw RedDBError("reddb: \(configuration.url) can't be reached: \(error)")
        }
    }

    private static let timeouts: [HTTPClientError] = [.deadlineExceeded, .connectTimeout, .readTimeout]
}
