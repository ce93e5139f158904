import Foundation
import Orchestrator
import Testing

@testable import Gateway

@Suite struct ServerSentEventsTests {
    @Test func `JSON over several lines stays one event`() throws {
        let event = Event(
            sequence: 7, type: EventType(rawValue: "agent.step"), jobID: "a", time: Timestamp(nanoseconds: 0),
            attempt: 1, state: .running, data: Array("{\n  \"x\":\r\n 1}".utf8), source: "rpc")
        let image = String(decoding: ServerSentEvents.image(event), as: UTF8.self)
        #expect(image.hasPrefix("id: 7\ndata: {") && image.hasSuffix("}\n\n"))
        let lines = image.split(separator: "\n").dropFirst()
        #expect(lines.allSatisfy { $0.hasPrefix("data: ") })
        let data = lines.map { $0.dropFirst(6) }.joined(separator: "\n")
        let json = try #require(try JSONSerialization.jsonObject(with: Data(data.utf8)) as? [String: Any])
        #expect(json["state"] as? String == "running")
        #expect((json["data"] as? [String: Int])?["x"] == 1)
    }

    @Test func `a client that comes again goes on where it was, whatever its address says`() throws {
        func request(_ query: [(Substring, Substring)], _ last: String?) throws -> EventRequest {
            try EventQuery.request(query.map { (key: $0.0, value: $0.1) }, lastEventID: last)
        }
        #expect(try request([("after_sequence", "3")], nil).after == 3)
        #expect(try request([("after_sequence", "3")], "9").after == 9)
        let again = try request([("from_now", "1")], "9")
        #expect(again.after == 9 && !again.fromNow)
        #expect(try request([("from_now", "1")], "").fromNow)
        #expect(try request([("job_id", "a"), ("job_id", "b"), ("type", "x")], nil).filter.jobIDs == ["a", "b"])
    }
}
