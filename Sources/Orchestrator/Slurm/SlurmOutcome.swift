/// Makes an attempt's outcome of what is known about its batch job's end.
enum SlurmOutcome {
    /// - Parameters:
    ///   - result: what the command left, as for every attempt.
    ///   - lastWords: the end of standard error; may be empty.
    static func of(_ evidence: SlurmEvidence, slurmJobID: String, result: AttemptResult, lastWords: String)
        -> (outcome: AttemptOutcome, ending: SlurmEnding)
    {
        var outcome = AttemptOutcome()
        var ending = SlurmEnding(
            state: (evidence.state ?? stateOfMarker(evidence)).rawValue, nodes: evidence.nodes,
            startedAt: evidence.startedAt, endedAt: evidence.endedAt)
        let (code, signal) = exit(evidence)
        outcome.exitCode = code
        outcome.signal = signal
        if case .json(let json) = result { outcome.result = json }

        let job = "Slurm job \(slurmJobID)"
        let words = lastWords.isEmpty ? "" : ": \(lastWords)"
        func fail(_ reason: FailureReason, _ error: String) {
            outcome.failure = reason
            outcome.error = error
        }
        if case .notStarted(let why)? = evidence.marker?.end {
            fail(.runnerError, "\(job) could not start its command: \(why)")
            return (outcome, ending)
        }
        let place = evidence.nodes.isEmpty ? "" : " on \(evidence.nodes)"
        switch evidence.state ?? stateOfMarker(evidence) {
        case .timeout: fail(.timeout, "\(job) reached its time limit")
        case .deadline: fail(.timeout, "\(job) could not end before its deadline")
        case .outOfMemory: fail(.outOfMemory, "\(job) used more memory than it had asked for\(place)")
        case .nodeFail: fail(.nodeFailure, "\(job) lost its node\(place)")
        case .bootFail, .launchFailed, .reconfigFail:
            fail(.nodeFailure, "\(job) could not be started\(place) (\(ending.state))")
        case .preempted: fail(.preempted, "\(job) was preempted\(place) and not put back into the queue")
        case .cancelled:
            if evidence.reason.contains("Dependency") {
                fail(.dependencyFailed, "\(job) waited for a job that did not end as it had to")
            } else {
                let by = evidence.cancelledBy.map { " by user \($0)" } ?? ""
                ending.cancelledThere = "\(job) was cancelled in Slurm\(by)"
                fail(.signal, ending.cancelledThere ?? "")
            }
        case .completed:
            if case .unusable(let why) = result { fail(.runnerError, "\(job) exited with code 0, but \(why)") }
        default:
            if signal != 0 {
                fail(.signal, "\(job) was ended by \(SignalName.of(signal))\(place)\(words)")
            } else if code != 0 {
                fail(.exitCode, "\(job) exited with code \(code)\(words)")
            } else {
                let reason = evidence.reason.isEmpty || evidence.reason == "None" ? "" : " (\(evidence.reason))"
                fail(.runnerError, "\(job) failed in Slurm without an exit code\(reason)\(words)")
            }
        }
        return (outcome, ending)
    }

    /// Exit code and signal: the marker's, which are the command's own, else accounting's.
    private static func exit(_ evidence: SlurmEvidence) -> (Int32, Int32) {
        switch evidence.marker?.end {
        case .exited(let code)?: (code, 0)
        case .signalled(let signal)?: (0, signal)
        case .notStarted?: (0, 0)
        case nil: (evidence.exitCode ?? 0, evidence.signal ?? 0)
        }
    }

    private static func stateOfMarker(_ evidence: SlurmEvidence) -> SlurmState {
        exit(evidence) == (0, 0) && evidence.marker?.wasTerminated == false ? .completed : .failed
    }
}
