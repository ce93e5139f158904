import Orchestrator
import Testing

@testable import dspy_orchestrator

@Suite struct AdmissionTests {
    @Test func `jobs come in until it is closed, and the refusal says to send them again`() throws {
        let admission = Admission(slurm: nil) { _ in }
        try admission.admit(JobSpec())
        #expect(!admission.isEnding && !admission.isClosed)
        admission.end()
        try admission.admit(JobSpec())
        #expect(admission.isEnding && !admission.isClosed)
        admission.close()
        let refusal = try #require(throws: OrchestratorError.self) { try admission.admit(JobSpec()) }
        #expect(refusal.kind == .unavailable)
        #expect(admission.isEnding && admission.isClosed)
    }

    @Test func `a delay is over at once when the server can't go on`() async {
        let waiting = Task { await DrainDelay(.seconds(86_400)).wait() }
        waiting.cancel()
        await waiting.value
    }
}
