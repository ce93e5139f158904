import Testing

@testable import Orchestrator

@Suite struct SlurmStateTests {
    @Test(arguments: [
        ("PENDING", SlurmState.pending), ("PD", .pending), ("R", .running), ("CANCELLED by 0", .cancelled),
        ("CANCELLED+", .cancelled), ("OUT_OF_MEMORY", .outOfMemory), ("OOM", .outOfMemory), ("NODE_FAIL", .nodeFail),
        ("CG", .completing), ("SE", .specialExit),
    ])
    func `long words, codes and what sacct puts behind them are read`(word: String, state: SlurmState) {
        #expect(SlurmState(word: word) == state)
    }

    @Test func `a word that Slurm may have one day is unknown`() {
        for word in ["", "SLEEPING", "running", "None", "RUNNINGX"] { #expect(SlurmState(word: word) == nil) }
    }

    @Test func `every state of the manual pages has a code, and each code its state`() {
        let codes = "BF CA CD CF CG DL EX F LF NF OOM PD PO PR R RD RF RH RQ RS RV SI SE SO ST S TO UD"
        let read = codes.split(separator: " ").compactMap { SlurmState(word: $0) }
        // RECONFIG_FAIL is the one that squeue has no code for.
        #expect(Set(read).union([.reconfigFail]) == Set(SlurmState.allCases))
    }

    @Test func `only what is over is over`() {
        let over = SlurmState.allCases.filter { $0.phase == .over }
        #expect(
            Set(over) == [
                .completed, .cancelled, .failed, .timeout, .nodeFail, .preempted, .bootFail, .deadline, .outOfMemory,
                .launchFailed, .reconfigFail,
            ])
    }
}
