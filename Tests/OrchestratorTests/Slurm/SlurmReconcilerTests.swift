import Testing

@testable import Orchestrator

@Suite struct SlurmReconcilerTests {
    private typealias Reconciler = SlurmReconciler

    private static let start = Timestamp(nanoseconds: 1_800_000_000_000_000_000)

    private func row(_ state: String, reason: String = "None") -> QueueRow {
        QueueRow(id: "7", name: "dspy-x-1", state: state, reason: reason, nodes: "n1", startedAt: nil, endedAt: nil)
    }

    private func accounted(_ state: String, _ code: Int32 = 0, _ signal: Int32 = 0) -> AccountingRow {
        AccountingRow(
            id: "7", step: nil, name: "dspy-x-1", state: state, exitCode: code, signal: signal, startedAt: nil,
            endedAt: nil, elapsedSeconds: 1, nodes: "n1", maxRSSBytes: nil, cancelledBy: nil)
    }

    private func marker(_ end: String, terminated: Bool = false) throws -> EndMarker {
        try #require(
            EndMarker(
                parsing: Array(
                    """
                    slurm_job_id=7
                    restarts=0
                    node=n1
                    started_ns=1799999999000000000
                    \(end)
                    finished_ns=1800000000000000000
                    terminated=\(terminated ? 1 : 0)
                    end=1

                    """.utf8)))
    }

    /// What comes of one sight, repeated until something does, in steps of a second.
    private func decisions(_ sight: Reconciler.Sight, seconds: Int) -> [Reconciler.Decision] {
        var clocks = Reconciler.Clocks()
        return (0...seconds).map {
            SlurmReconciler().decide(sight, clocks: &clocks, now: Self.start.advanced(by: .seconds($0)))
        }
    }

    private func outcome(_ decision: Reconciler.Decision?) -> AttemptOutcome? {
        guard case .ended(let evidence)? = decision else { return nil }
        return SlurmOutcome.of(evidence, slurmJobID: "7", result: .none, lastWords: "").outcome
    }

    @Test func `a marker of a command that ended by itself needs nobody else`() throws {
        let sight = Reconciler.Sight(queue: .unavailable, marker: try marker("exit_code=3"))
        #expect(outcome(decisions(sight, seconds: 0)[0])?.exitCode == 3)
    }

    @Test func `a marker of a command that was ended waits for Slurm's word`() throws {
        for state in ["TIMEOUT", "PREEMPTED", "CANCELLED", "NODE_FAIL", "OUT_OF_MEMORY"] {
            let marker = try marker("signal=15", terminated: true)
            #expect(
                decisions(Reconciler.Sight(queue: .unavailable, marker: marker), seconds: 0)[0] == .stay(isHot: false))
            #expect(
                decisions(Reconciler.Sight(queue: .found(row("COMPLETING")), marker: marker), seconds: 0)[0]
                    == .stay(isHot: true))
            let last = decisions(Reconciler.Sight(queue: .found(row(state)), marker: marker), seconds: 3).last
            #expect(outcome(last)?.failure != nil, "\(state)")
        }
    }

    @Test func `SIGKILL may have been for the memory`() throws {
        let marker = try marker("signal=9")
        #expect(!marker.isConclusive)
        let memory = Reconciler.Sight(queue: .found(row("OUT_OF_MEMORY")), marker: marker)
        #expect(outcome(decisions(memory, seconds: 0)[0])?.failure == .outOfMemory)
        let killed = Reconciler.Sight(queue: .found(row("FAILED", reason: "NonZeroExitCode")), marker: marker)
        #expect(outcome(decisions(killed, seconds: 0)[0])?.signal == 9)
    }

    @Test func `a requeued job goes on, whatever its last run left`() throws {
        let sight = Reconciler.Sight(
            queue: .found(row("PENDING", reason: "BeginTime")), marker: try marker("signal=15", terminated: true))
        #expect(decisions(sight, seconds: 600).allSatisfy { $0 == .waiting(.pending) })
    }

    @Test func `what Slurm may put back is given a moment`() {
        let all = decisions(Reconciler.Sight(queue: .found(row("PREEMPTED"))), seconds: 3)
        #expect(all[0] == .stay(isHot: true) && all[1] == .stay(isHot: true))
        #expect(outcome(all[2])?.failure == .preempted)
    }

    @Test func `a failure without an exit code is looked up, and accepted after a while`() {
        let asked = decisions(Reconciler.Sight(queue: .found(row("FAILED"))), seconds: 0)
        #expect(asked == [.ask])
        let early = Reconciler.Sight(queue: .found(row("FAILED")), accounting: .found(accounted("FAILED")))
        #expect(decisions(early, seconds: 9).allSatisfy { $0 == .stay(isHot: true) })
        #expect(outcome(decisions(early, seconds: 10).last)?.failure == .runnerError)
        let late = Reconciler.Sight(queue: .found(row("FAILED")), accounting: .found(accounted("FAILED", 3)))
        #expect(outcome(decisions(late, seconds: 0)[0])?.exitCode == 3)
    }

    @Test func `a success waits a little for the marker with its result`() {
        let all = decisions(Reconciler.Sight(queue: .found(row("COMPLETED"))), seconds: 10)
        #expect(all[9] == .stay(isHot: true))
        #expect(outcome(all[10])?.failure == .some(nil))
    }

    @Test func `accounting tells of what left the queue`() {
        #expect(decisions(Reconciler.Sight(queue: .absent), seconds: 0) == [.ask])
        let sight = Reconciler.Sight(queue: .absent, accounting: .found(accounted("TIMEOUT", 0, 15)))
        #expect(outcome(decisions(sight, seconds: 0)[0])?.failure == .timeout)
    }

    @Test func `five minutes of absence everywhere is LOST, and not a second less`() {
        for silence: Reconciler.Look<AccountingRow> in [.absent, .none, .found(accounted("RUNNING"))] {
            let all = decisions(Reconciler.Sight(queue: .absent, accounting: silence), seconds: 300)
            #expect(all[299] == .stay(isHot: false))
            #expect(all[300] == .lost(since: Self.start))
        }
    }

    @Test func `absence that is interrupted begins anew`() {
        var clocks = Reconciler.Clocks()
        let absent = Reconciler.Sight(queue: .absent, accounting: .absent)
        func look(_ sight: Reconciler.Sight, at second: Int) -> Reconciler.Decision {
            SlurmReconciler().decide(sight, clocks: &clocks, now: Self.start.advanced(by: .seconds(second)))
        }
        _ = look(absent, at: 0)
        #expect(look(absent, at: 200) == .stay(isHot: false))
        #expect(look(Reconciler.Sight(queue: .found(row("RUNNING"))), at: 250) == .running(row("RUNNING")))
        #expect(look(absent, at: 400) == .stay(isHot: false))
        // Nor does time count in which nobody could look.
        #expect(look(Reconciler.Sight(queue: .unavailable), at: 600) == .stay(isHot: false))
        #expect(look(absent, at: 750) == .stay(isHot: false))
        #expect(look(absent, at: 1_050) == .lost(since: Self.start.advanced(by: .seconds(750))))
    }

    @Test func `accounting that is down does not make a job lost`() {
        let sight = Reconciler.Sight(queue: .absent, accounting: .unavailable)
        #expect(decisions(sight, seconds: 3_600).allSatisfy { $0 == .stay(isHot: false) })
    }

    @Test func `an unknown word keeps the job as it is`() {
        let sight = Reconciler.Sight(queue: .found(row("HIBERNATING")))
        #expect(decisions(sight, seconds: 3_600).allSatisfy { $0 == .unknownState("HIBERNATING") })
    }

    @Test(arguments: [
        ("TIMEOUT", FailureReason.timeout), ("DEADLINE", .timeout), ("OUT_OF_MEMORY", .outOfMemory),
        ("NODE_FAIL", .nodeFailure), ("BOOT_FAIL", .nodeFailure), ("LAUNCH_FAILED", .nodeFailure),
        ("PREEMPTED", .preempted),
    ])
    func `how a job ended has its own reason`(state: String, reason: FailureReason) {
        let last = decisions(Reconciler.Sight(queue: .found(row(state))), seconds: 5).last
        #expect(outcome(last)?.failure == reason)
    }

    @Test func `a job whose dependency failed says so, and one that somebody cancelled is cancelled`() {
        let dependent = Reconciler.Sight(queue: .found(row("CANCELLED", reason: "DependencyNeverSatisfied")))
        #expect(outcome(decisions(dependent, seconds: 0)[0])?.failure == .dependencyFailed)
        var by = accounted("CANCELLED")
        by.cancelledBy = "1000"
        let sight = Reconciler.Sight(queue: .absent, accounting: .found(by))
        guard case .ended(let evidence) = decisions(sight, seconds: 0)[0] else {
            Issue.record("not ended")
            return
        }
        let ending = SlurmOutcome.of(evidence, slurmJobID: "7", result: .none, lastWords: "").ending
        #expect(ending.cancelledThere == "Slurm job 7 was cancelled in Slurm by user 1000")
    }
}
