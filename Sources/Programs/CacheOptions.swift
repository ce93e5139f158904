import ArgumentParser
import Orchestrator

/// The flags about how much of the ledger is kept in memory. More of it answers faster, and none of it is needed.
package struct CacheOptions: ParsableArguments {
    @Option(
        help:
            "Ended jobs kept in memory, the newest, beside every open one; others are read from the ledger. (env: ORCHESTRATOR_CACHE_JOBS; default: 10000)"
    )
    package var cacheJobs: String?

    @Option(
        help:
            "Events kept in memory, the newest; streams that are further behind read them from the ledger. (env: ORCHESTRATOR_CACHE_EVENTS; default: 65536)"
    )
    package var cacheEvents: String?

    @Option(
        help:
            "Memory for pages of the ledger's file, in bytes or with KiB or MiB behind. (env: ORCHESTRATOR_CACHE_LEDGER_BYTES; default: 16MiB)"
    )
    package var cacheLedgerBytes: String?

    package init() {}
}

/// How much of the ledger is kept in memory, checked.
package struct CacheSizes: Equatable {
    package var jobs: Int
    package var events: Int
    package var ledgerBytes: Int

    /// - Throws: `ValidationError` that names the flag, the value and what is expected.
    package init(_ options: CacheOptions, environment: [String: String]) throws {
        func setting(
            _ flag: String, _ given: String?, _ expected: String, _ fallback: Int,
            _ parse: @escaping (String) -> Int?
        ) throws -> Int {
            let variable = "ORCHESTRATOR_" + flag.uppercased().replacing("-", with: "_")
            return try Setting(flag: "--\(flag)", variable: variable, parse: parse, expected: expected)
                .value(given, environment: environment, default: fallback)
        }
        let standard = Ledger.Configuration(directory: "")
        jobs = try setting(
            "cache-jobs", options.cacheJobs, "a number from 1 to 10000000", standard.recentJobs,
            Parse.count(1...10_000_000))
        events = try setting(
            "cache-events", options.cacheEvents, "a number from 64 to 10000000", standard.ringEvents,
            Parse.count(64...10_000_000))
        ledgerBytes = try setting(
            "cache-ledger-bytes", options.cacheLedgerBytes, "a number of bytes from 1MiB to 16384MiB",
            standard.pageCacheBytes
        ) { text in
            Parse.bytes(text).flatMap { bytes in bytes.flatMap { (1 << 20...16 << 30).contains($0) ? Int($0) : nil } }
        }
    }

    package func apply(to ledger: inout Ledger.Configuration) {
        ledger.recentJobs = jobs
        ledger.ringEvents = events
        ledger.recoveredEvents = min(ledger.recoveredEvents, events)
        ledger.pageCacheBytes = ledgerBytes
    }
}
