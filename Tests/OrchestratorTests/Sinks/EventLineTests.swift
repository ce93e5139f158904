import Foundation
import Testing

@testable import Orchestrator

@Suite struct EventLineTests {
    private func event(data: String, source: String = "rpc") -> Event {
        Event(
            sequence: 7, type: .taskFailed, jobID: "a", time: Timestamp(nanoseconds: 1_700_000_000_250_000_000),
            attempt: 1, state: .failed, data: Array(data.utf8), source: source)
    }

    @Test func `an event has exactly the contract's keys, and its data as it stands`() {
        #expect(
            String(decoding: EventLine.json(event(data: #"{"task_id":"a","n":1.50}"#)), as: UTF8.self)
                == #"{"sequence":7,"type":"task_failed","timestamp":"2023-11-14T22:13:20.250Z","data":{"task_id":"a","n":1.50},"source":"rpc"}"#
        )
    }

    @Test func `data over several lines comes on one, and means the same`() throws {
        let line = EventLine.json(event(data: "{\r\n  \"task_id\": \"a\\nb\"\n}"))
        #expect(!line.contains(0x0A) && !line.contains(0x0D))
        let object = try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any]
        #expect(object?["data"] as? [String: String] == ["task_id": "a\nb"])
    }

    @Test func `an event without data still names its task`() {
        #expect(String(decoding: EventLine.json(event(data: "")), as: UTF8.self).contains(#""data":{"task_id":"a"}"#))
    }
}
