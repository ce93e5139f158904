import ArgumentParser
import Orchestrator

/// The flags about how much history is kept. 0 is no limit everywhere.
package struct RetentionOptions: ParsableArguments {
    @Option(
        help:
            "Days that an ended job is kept, and its id taken; 0 is no limit. (env: ORCHESTRATOR_KEEP_JOBS_DAYS; default: 30)"
    )
    package var keepJobsDays: String?

    @Option(help: "Ended jobs kept; 0 is no limit. (env: ORCHESTRATOR_KEEP_JOBS; default: 1000000)")
    package var keepJobs: String?

    @Option(help: "Days that an event is kept; 0 is no limit. (env: ORCHESTRATOR_KEEP_EVENTS_DAYS; default: 30)")
    package var keepEventsDays: String?

    @Option(help: "Events kept; 0 is no limit. (env: ORCHESTRATOR_KEEP_EVENTS; default: 10000000)")
    package var keepEvents: String?

    @Option(
        help:
            "Size of the ledger's jobs and events together, in bytes or with KiB, MiB, GiB or TiB behind; 0 is no limit. Unlike the limits above it does not wait for sinks that are behind. (env: ORCHESTRATOR_KEEP_LEDGER_BYTES; default: 10GiB)"
    )
    package var keepLedgerBytes: String?

    @Option(
        help:
            "Days that the output and working directories of an ended job are kept; 0 is no limit. (env: ORCHESTRATOR_KEEP_OUTPUTS_DAYS; default: 14)"
    )
    package var keepOutputsDays: String?

    @Option(
        help:
            "Ended jobs whose output and working directories are kept; 0 is no limit. (env: ORCHESTRATOR_KEEP_OUTPUTS; default: 100000)"
    )
    package var keepOutputs: String?

    @Option(
        help:
            "Size of ended jobs' output and working directories together, in bytes or with KiB, MiB, GiB or TiB behind; 0 is no limit. (env: ORCHESTRATOR_KEEP_OUTPUT_BYTES; default: 20GiB)"
    )
    package var keepOutputBytes: String?

    package init() {}
}

extension Retention {
    /// - Throws: `ValidationError` that names the flag, the value and what is expected.
    package init(_ options: RetentionOptions, environment: [String: String]) throws {
        let standard = Retention.standard
        func setting<Value>(
            _ flag: String, _ given: String?, _ expected: String, _ fallback: Value,
            _ parse: @escaping (String) -> Value?
        ) throws -> Value {
            let variable = "ORCHESTRATOR_" + flag.uppercased().replacing("-", with: "_")
            return try Setting(flag: "--\(flag)", variable: variable, parse: parse, expected: expected)
                .value(given, environment: environment, default: fallback)
        }
        let days = "a number of days from 0, which is no limit, to 36500"
        let count = "a whole number; 0 is no limit"
        let bytes = "a number of bytes, such as 500MiB or 10GiB; 0 is no limit"
        self.init(
            jobs: Limit(
                age: try setting("keep-jobs-days", options.keepJobsDays, days, standard.jobs.age, Parse.days),
                count: try setting("keep-jobs", options.keepJobs, count, standard.jobs.count, Parse.limit)),
            events: Limit(
                age: try setting("keep-events-days", options.keepEventsDays, days, standard.events.age, Parse.days),
                count: try setting("keep-events", options.keepEvents, count, standard.events.count, Parse.limit)),
            ledgerBytes: try setting(
                "keep-ledger-bytes", options.keepLedgerBytes, bytes, standard.ledgerBytes, Parse.bytes),
            outputs: Limit(
                age: try setting("keep-outputs-days", options.keepOutputsDays, days, standard.outputs.age, Parse.days),
                count: try setting("keep-outputs", options.keepOutputs, count, standard.outputs.count, Parse.limit)),
            outputBytes: try setting(
                "keep-output-bytes", options.keepOutputBytes, bytes, standard.outputBytes, Parse.bytes))
    }
}
