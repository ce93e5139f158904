import Foundation
import Logging
import Testing

@testable import Orchestrator

/// A directory of a test's own, removed with it.
final class Scratch: Sendable {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "dspy-test-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func runner(_ configure: (inout RunnerConfiguration) -> Void) throws -> Runner {
        var configuration = RunnerConfiguration(jobsDirectory: path + "/jobs", grace: .milliseconds(200))
        configure(&configuration)
        return try Runner(
            configuration: configuration, serverEnvironment: ["PATH": "/usr/local/bin:/usr/bin:/bin"],
            logger: Logger(label: "test"))
    }

    func runner(
        grace: Duration = .milliseconds(200), outputCap: Int64 = 1 << 20,
        environment: [String: String] = ["PATH": "/usr/bin:/bin", "HOME": "/root", "SECRET": "x"],
        openFiles: UInt64? = nil
    ) throws -> Runner {
        try Runner(
            configuration: RunnerConfiguration(
                jobsDirectory: path + "/jobs", grace: grace, outputCap: outputCap, openFiles: openFiles),
            serverEnvironment: environment, logger: Logger(label: "test"))
    }

    /// A job whose first attempt the ledger has just started.
    func job(_ payload: String, id: String = "job-1", timeout: Duration? = nil) -> Job {
        let spec = JobSpec(id: id, payload: Array(payload.utf8), timeout: timeout)
        var job = Job(spec: spec, submittedAt: .now())
        job.state = .running
        job.attempt = 1
        job.startedAt = .now()
        return job
    }

    func job(shell script: String, id: String = "job-1", timeout: Duration? = nil) -> Job {
        job("{\"command\": [\"sh\", \"-c\", \(script.asJSON)]}", id: id, timeout: timeout)
    }
}

/// Asks again until it holds, and gives up after a while. For what other processes do, which nobody announces.
func eventually(
    within limit: Duration = .seconds(180), _ condition: () throws -> Bool,
    sourceLocation: SourceLocation = #_sourceLocation
) async throws {
    let deadline = ContinuousClock.now.advanced(by: limit)
    while try !condition() {
        guard ContinuousClock.now < deadline else {
            Issue.record("did not come to hold within \(limit)", sourceLocation: sourceLocation)
            return
        }
        try await Task.sleep(for: .milliseconds(5))
    }
}

extension Runner.RunResult {
    /// nil when it never started.
    var outcome: AttemptOutcome? {
        switch self {
        case .ended(let outcome), .cancelled(let outcome): outcome
        case .notStarted: nil
        }
    }
}
