import Glibc
import Logging
import Testing

@testable import Orchestrator

/// Real processes against their limits: with cgroups where this machine lets the test have them, and without.
@Suite struct LimitsTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    /// Who holds the limits. `looking` is the fallback, which must do on every machine.
    enum Holder: CaseIterable, Sendable {
        case cgroups
        case looking

        var parents: @Sendable () -> CgroupParents {
            switch self {
            case .cgroups: { CgroupParents.prepare() }
            case .looking: { CgroupParents.none }
            }
        }
    }

    private func run(
        _ holder: Holder, _ limits: ResourceLimits, _ script: String, id: String = "job-1"
    ) async throws -> AttemptOutcome {
        let runner = try scratch.runner {
            $0.limits = [.cpuShort: limits]
            $0.cgroups = holder.parents
        }
        return try #require(await runner.run(scratch.job(shell: script, id: id, timeout: .seconds(600))).outcome)
    }

    private static let hog = "exec nice -n 19 python3 -c 'a = []\nwhile True: a.append(bytearray(1 << 20))'"

    @Test(arguments: Holder.allCases)
    func `a memory hog is ended as out of memory`(_ holder: Holder) async throws {
        let outcome = try await run(holder, ResourceLimits(memoryBytes: 64 << 20), Self.hog)
        #expect(outcome.failure == .outOfMemory)
        #expect(outcome.signal == SIGKILL)
        #expect(outcome.error == "ran out of memory: more than its limit of 67108864 bytes")
    }

    @Test(arguments: Holder.allCases)
    func `memory is counted over all of a job's processes`(_ holder: Holder) async throws {
        let outcome = try await run(
            holder, ResourceLimits(memoryBytes: 128 << 20),
            "for i in 1 2 3 4; do python3 -c 'import time; a = bytearray(60 << 20); time.sleep(30)' & all=\"$all $!\"; done; "
                + "for one in $all; do wait $one || exit 9; done")
        #expect(outcome.failure == .outOfMemory)
    }

    @Test(arguments: Holder.allCases)
    func `a job within its limits is left alone`(_ holder: Holder) async throws {
        let limits = ResourceLimits(
            cpus: 1, memoryBytes: 256 << 20, processes: 16, fileBytes: 1 << 20, openFiles: 64)
        #expect(try await run(holder, limits, "python3 -c 'a = bytearray(32 << 20)'") == AttemptOutcome())
    }

    @Test(arguments: Holder.allCases)
    func `a fork bomb is contained and gone`(_ holder: Holder) async throws {
        let outcome = try await run(
            holder, ResourceLimits(processes: 40),
            "exec nice -n 19 bash -c 'bomb() { bomb | bomb & }; bomb; sleep 10; exit 3' \(holder)-\(getpid())")
        #expect(outcome.failure == .signal || outcome.failure == .exitCode)
        #expect(outcome.error.contains("it reached its limit of 40 processes"))
        let left = try WholeFile.names(in: "/proc").filter { pid in
            guard pid_t(pid) != nil, let text = try? WholeFile.read("/proc/\(pid)/cmdline", limit: 4096) else {
                return false
            }
            return String(decoding: text, as: UTF8.self).contains("\(holder)-\(getpid())")
        }
        #expect(left.isEmpty)
    }

    @Test func `a signal is not taken for want of memory`() async throws {
        let outcome = try await run(.looking, ResourceLimits(memoryBytes: 1 << 30), "kill -KILL $$")
        #expect(outcome.failure == .signal)
    }

    @Test func `a file may not grow beyond its limit`() async throws {
        let outcome = try await run(
            .looking, ResourceLimits(fileBytes: 100_000), "exec head -c 200000 /dev/zero > big")
        #expect(outcome == AttemptOutcome(signal: SIGXFSZ, failure: .signal, error: "ended by SIGXFSZ"))
    }

    @Test func `descriptors are limited`() async throws {
        let outcome = try await run(
            .looking, ResourceLimits(openFiles: 77), #"test "$(ulimit -Sn) $(ulimit -Hn)" = "77 77""#)
        #expect(outcome == AttemptOutcome())
    }

    @Test func `without a cgroup a part of a processor is a whole one`() async throws {
        let outcome = try await run(.looking, ResourceLimits(cpus: 0.5), #"test "$(nproc)" = 1"#)
        #expect(outcome == AttemptOutcome())
    }

    @Test func `groups are gone with their attempts`() async throws {
        let parents = CgroupParents.prepare()
        _ = try await run(.cgroups, ResourceLimits(cpus: 1, memoryBytes: 64 << 20, processes: 10), "setsid sleep 60 &")
        for parent in [parents.unified, parents.memory, parents.pids, parents.cpu].compactMap({ $0 }) {
            // Other tests have theirs at the same time.
            try await eventually { !(try WholeFile.names(in: parent).contains { $0.hasPrefix("attempt-") }) }
        }
    }

    @Test func `a group that can't be made fails the attempt rather than let it run without limits`() async throws {
        let runner = try scratch.runner {
            $0.limits = [.cpuShort: ResourceLimits(memoryBytes: 1 << 30)]
            $0.cgroups = { CgroupParents(memory: "/no/such/group") }
        }
        let outcome = await runner.run(scratch.job(shell: "echo > ran")).outcome
        #expect(outcome?.failure == .runnerError)
        #expect(outcome?.error == "the attempt's limits can't be set (cgroup): No such file or directory")
    }

    // MARK: - What a job asks for

    @Test func `a job may ask for less than its class may have, not for more`() throws {
        let limits = ResourceLimits(cpus: 2, memoryBytes: 1000)
        let asked = try limits.narrowed(to: Resources(cpus: 0.5, processes: 7), .gpu)
        #expect(asked == ResourceLimits(cpus: 0.5, memoryBytes: 1000, processes: 7))
        let error = #expect(throws: OrchestratorError.self) {
            try limits.narrowed(to: Resources(memoryBytes: 1001), .cpuLong)
        }
        #expect(
            error?.message
                == "resources.memory_bytes of 1001: class cpu_long may have 1000 at most on this server; ask for less, or "
                + "have its limit raised in the configuration file")
    }

    @Test func `a job's own limits are held`() async throws {
        let runner = try scratch.runner { $0.limits = [.cpuShort: ResourceLimits(memoryBytes: 1 << 30)] }
        var job = scratch.job(shell: Self.hog, timeout: .seconds(600))
        job.spec.resources = Resources(memoryBytes: 50 << 20)
        #expect(
            await runner.run(job).outcome?.error == "ran out of memory: more than its limit of 52428800 bytes")
    }

    @Test func `what a job may not have is refused before it is accepted`() throws {
        let runner = try scratch.runner {
            $0.limits = [.cpuShort: ResourceLimits(processes: 10)]
            $0.gpus = GPUDevices(["0"])
        }
        var spec = scratch.job(shell: "true").spec
        for (resources, jobClass, field) in [
            (Resources(processes: 11), JobClass.cpuShort, "resources.processes"),
            (Resources(gpus: 1), .cpuShort, "resources.gpus"), (Resources(gpus: 2), .gpu, "resources.gpus"),
        ] {
            spec.resources = resources
            spec.jobClass = jobClass
            let error = #expect(throws: OrchestratorError.self) { try runner.validate(spec) }
            #expect(error?.message.hasPrefix(field) == true)
        }
        spec.resources = Resources(gpus: 1)
        #expect(throws: Never.self) { try runner.validate(spec) }
    }

    // MARK: - After the runner is gone

    @Test func `with a lifeline an attempt ends when its runner is gone`() async throws {
        var runner: Runner? = try scratch.runner { $0.endsWithServer = true }
        let directory = try #require(try runner?.directory(jobID: "job-1", attempt: 1))
        let lifeline = try #require(runner?.lifeline)
        let running = Task { [runner, scratch] in
            await runner?.run(scratch.job(shell: "echo > started; exec sleep 300"))
        }
        try await eventually { WholeFile.exists(directory.work + "/started") }
        // What the kernel does when the process ends.
        lifeline.cut()
        runner = nil
        guard case .cancelled = await running.value else {
            Issue.record("it went on")
            return
        }
    }
}
