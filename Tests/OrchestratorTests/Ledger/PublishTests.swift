import Foundation
import Testing

@testable import Orchestrator

/// Events of agents in the ledger.
@Suite struct PublishTests {
    private let directory = LedgerDirectory()

    private func text(_ event: Event) -> String { String(decoding: event.data, as: UTF8.self) }

    @Test func `an agent's event has its place between the jobs' events, and stays over a restart`() async throws {
        var ledger = try directory.open()
        _ = try await ledger.submit(JobSpec(id: "a"))
        let data = Array(#"{ "step": 1 }"#.utf8)
        let published = try await ledger.publish(AgentEvent(type: "agent.step", jobID: "a", data: data)).event
        try await ledger.run("a")
        let free = try await ledger.publish(AgentEvent(type: "agent.note")).event
        #expect(published.sequence == 2 && published.state == .queued && published.source == "agent")
        #expect(text(published) == #"{"task_id":"a", "step": 1 }"#)
        #expect(free.sequence == 5 && free.state == nil && text(free) == "{}")
        // The job is as if nothing had been said about it.
        #expect(try await ledger.job("a").lastSequence == 4)

        let before = try await ledger.allEvents()
        #expect(before.map(\.sequence) == [1, 2, 3, 4, 5])
        await ledger.close()
        ledger = try directory.open()
        #expect(try await ledger.allEvents() == before)
        #expect(ledger.events.lastSequence == 5)
        await ledger.close()
    }

    @Test func `the same id with the same content is one event, also over a restart`() async throws {
        var ledger = try directory.open()
        let event = AgentEvent(id: "once", type: "agent.step", data: Array(#"{"x":1}"#.utf8))
        let first = try await ledger.publish(event)
        let again = try await ledger.publish(event)
        #expect(!first.alreadyExisted && again.alreadyExisted && again.event == first.event)
        await ledger.close()
        ledger = try directory.open()
        #expect(try await ledger.publish(event) == again)
        var other = event
        other.data = Array(#"{"x":2}"#.utf8)
        let error = await #expect(throws: OrchestratorError.self) { try await ledger.publish(other) }
        #expect(error?.kind == .alreadyExists)
        #expect(error?.message.contains("once") == true)
        #expect(ledger.events.lastSequence == 1)
        await ledger.close()
    }

    @Test func `of many at once with one id there is one event`() async throws {
        let ledger = try directory.open()
        let sequences = try await withThrowingTaskGroup(of: Publication.self) { group in
            for _ in 0..<50 { group.addTask { try await ledger.publish(AgentEvent(id: "x", type: "agent.a")) } }
            return try await group.reduce(into: [Publication]()) { $0.append($1) }
        }
        #expect(Set(sequences.map(\.event.sequence)) == [1])
        #expect(sequences.count { !$0.alreadyExisted } == 1)
        await ledger.close()
    }

    @Test(arguments: [
        (AgentEvent(type: ""), "type"), (AgentEvent(type: "agent."), "type"), (AgentEvent(type: "agent"), "type"),
        (AgentEvent(type: "task_completed"), "type"), (AgentEvent(type: "agent.A"), "type"),
        (AgentEvent(type: "agent..x"), "type"),
        (AgentEvent(type: "agent." + String(repeating: "x", count: 59)), "type"),
        (AgentEvent(id: "../x", type: "agent.x"), "event_id"), (AgentEvent(type: "agent.x", jobID: "-x"), "job_id"),
        (AgentEvent(type: "agent.x", data: Array("[]".utf8)), "data"),
        (AgentEvent(type: "agent.x", data: Array(#"{"task_id":"b"}"#.utf8)), "data"),
        (AgentEvent(type: "agent.x", data: Array(#"{"task\u005fid":"b"}"#.utf8)), "data"),
        (
            AgentEvent(type: "agent.x", data: Array("{\"x\":\"\(String(repeating: "y", count: 16 << 10))\"}".utf8)),
            "data"
        ),
    ])
    func `what is no agent's event is refused by its field`(event: AgentEvent, field: String) async throws {
        let ledger = try directory.open()
        let error = await #expect(throws: OrchestratorError.self) { try await ledger.publish(event) }
        #expect(error?.kind == .invalidArgument(field: field), "\(error?.message ?? "")")
        #expect(ledger.events.lastSequence == 0)
        await ledger.close()
    }

    @Test func `an event about a job that is not known is refused`() async throws {
        let ledger = try directory.open()
        let error = await #expect(throws: OrchestratorError.self) {
            try await ledger.publish(AgentEvent(type: "agent.x", jobID: "nobody"))
        }
        #expect(error?.kind == .notFound)
        await ledger.close()
    }
}
