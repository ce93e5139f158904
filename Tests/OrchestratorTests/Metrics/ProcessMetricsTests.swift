import Testing

@testable import Orchestrator

@Suite struct ProcessMetricsTests {
    private static let stat =
        "42 (a (b) c) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 7 0 1234 4096000 512 18446744073709551615 1 1\n"

    @Test func `the program's name may hold spaces and parentheses`() throws {
        let stat = try #require(ProcessStat(parsing: Self.stat))
        #expect(stat.userTicks == 250)
        #expect(stat.systemTicks == 50)
        #expect(stat.threads == 7)
        #expect(stat.startTicks == 1234)
        #expect(stat.virtualBytes == 4_096_000)
        #expect(stat.residentPages == 512)
    }

    @Test(arguments: ["", "42 (a", "42 (a) S 1 2", "42 (a) S 1 42 42 0 -1 4 100 0 0 0 x 50 0 0 20 0 7 0 1 4 5"])
    func `a text that is no stat gives nothing`(text: String) {
        #expect(ProcessStat(parsing: text) == nil)
    }

    @Test func `the machine's start is read from the btime line`() {
        #expect(ProcessStat.bootTime(parsing: "cpu 1 2\nbtime 1700000000\nprocesses 9\n") == 1_700_000_000)
        #expect(ProcessStat.bootTime(parsing: "cpu 1 2\n") == nil)
    }

    @Test func `this process has memory, descriptors and a start in the past`() throws {
        let families = ProcessMetrics.families()
        for name in ["process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds"] {
            let family = try #require(families.first { $0.name == name })
            guard case .number(let value)? = family.samples.first?.value else {
                Issue.record("\(name) is no number")
                continue
            }
            #expect(value > 0)
        }
    }
}
