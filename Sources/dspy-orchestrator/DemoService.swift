import Logging
import Orchestrator
import ServiceLifecycle

/// A trickle of small sample jobs, labelled `demo`, so that dashboards have something to show.
struct DemoService: Service {
    let ledger: Ledger
    let logger: Logger

    private static let interval = Duration.seconds(2)
    private static let payloads = [
        #"{"command":["sleep","0.3"]}"#,
        #"{"command":["echo","__DSPY_RESULT__:{\"score\":0.9}"]}"#,
        #"{"command":["sleep","1"]}"#,
        #"{"command":["false"]}"#,
    ]

    func run() async throws {
        await cancelWhenGracefulShutdown {
            for number in 0... {
                do {
                    try await Task.sleep(for: Self.interval)
                    let spec = JobSpec(
                        jobClass: number % 3 == 2 ? .cpuLong : .cpuShort,
                        payload: Array(Self.payloads[number % Self.payloads.count].utf8), labels: ["demo": "true"])
                    _ = try await ledger.submit(spec)
                } catch is CancellationError {
                    return
                } catch {
                    logger.warning("a demo job was not taken: \(error)")
                }
            }
        }
    }
}
