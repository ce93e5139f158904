import Testing

@testable import Orchestrator

@Suite struct RunnerSettingsTests {
    private func message(_ yaml: String) -> String? {
        do {
            _ = try SettingsFile(yaml: yaml)
            return nil
        } catch {
            return error.message
        }
    }

    @Test func `every setting is read`() throws {
        let settings = try SettingsFile(
            yaml: """
                handlers:
                  summarize:
                    command: [python3, -m, dspy_orchestrator.worker, "my_package:run"]
                    mode: worker
                    env: {OPENAI_BASE_URL: "http://127.0.0.1:8000/v1", EMPTY: }
                    cwd: /srv/app
                    timeout_seconds: 60
                    default_for: [cpu_short]
                    max_tasks: 200
                    max_growth: 512MiB
                    start_timeout_seconds: 90
                    idle_timeout_seconds: 30
                  convert:
                    command: [convert]
                runner:
                  limits:
                    cpu_short: {cpus: 1.5, memory: 1GiB, processes: 64, file_size: 2 GB, open_files: 256}
                    all: {memory: 4GiB}
                  sandbox:
                    cpu_short: {mode: landlock, readable: [/usr, /lib], writable: [/srv/out], network: true}
                    cpu_long: landlock
                    gpu: none
                  cgroups: false
                  gpus: 2
                  concurrency:
                    cpu_short: {min: 2, max: 32}
                    cpu_long: 4
                  inherit_env: [PATH, HOME, HF_HOME]
                  output_cap: 1MiB
                """
        ).runner
        var rules = WorkerRules()
        rules.mostTasks = 200
        rules.mostGrowth = 512 << 20
        rules.startTimeout = .seconds(90)
        rules.idleTimeout = .seconds(30)
        #expect(
            settings.handlers.byName["summarize"]
                == Handler(
                    name: "summarize", command: ["python3", "-m", "dspy_orchestrator.worker", "my_package:run"],
                    mode: .worker(rules), environment: ["OPENAI_BASE_URL": "http://127.0.0.1:8000/v1", "EMPTY": ""],
                    workingDirectory: "/srv/app", timeout: .seconds(60)))
        #expect(settings.handlers.byName["convert"] == Handler(name: "convert", command: ["convert"]))
        #expect(settings.handlers.defaults == [.cpuShort: "summarize"])
        #expect(
            settings.limits[.cpuShort]
                == ResourceLimits(
                    cpus: 1.5, memoryBytes: 1 << 30, processes: 64, fileBytes: 2_000_000_000, openFiles: 256))
        #expect(settings.limits[.gpu] == ResourceLimits(memoryBytes: 4 << 30))
        #expect(
            settings.sandboxes == [
                .cpuShort: Sandbox(readable: ["/usr", "/lib"], writable: ["/srv/out"], allowsNetwork: true),
                .cpuLong: Sandbox(),
            ])
        #expect(!settings.usesCgroups)
        #expect(settings.gpus == .devices(["0", "1"]))
        #expect(settings.concurrency[.cpuShort] == ConcurrencyRange(floor: 2, ceiling: 32))
        #expect(settings.concurrency[.cpuLong] == ConcurrencyRange(floor: 4, ceiling: 4))
        #expect(settings.inheritedVariables == ["PATH", "HOME", "HF_HOME"])
        #expect(settings.outputCap == 1 << 20)
    }

    @Test func `an empty file sets nothing`() throws {
        #expect(try SettingsFile(yaml: "") == SettingsFile())
        #expect(try SettingsFile(yaml: "# nothing yet\nrunner: {}\n") == SettingsFile())
    }

    @Test(arguments: [
        ("limit: {}", "limit (line 1): no such setting; known are server, env_runner, handlers, runner"),
        (
            "runner: {limit: {}}",
            "runner.limit (line 1): no such setting; did you mean limits? known are limits, sandbox,"
        ),
        (
            "runner: {limits: {cpu_short: {memory: much}}}",
            "runner.limits.cpu_short.memory (line 1): \"much\" is not a number of bytes"
        ),
        (
            "runner:\n  limits:\n    slurm: {}",
            "runner.limits.slurm (line 3): no such setting; known are cpu_short, cpu_long, gpu, all"
        ),
        ("handlers: {a: {mode: worker}}", "handlers.a.command: it is missing"),
        ("handlers: {a: {command: python3}}", "handlers.a.command (line 1): \"python3\" is not a list of texts"),
        ("handlers: {../a: {command: [b]}}", "handlers.../a: a handler's name has"),
        ("runner: {sandbox: {all: firejail}}", "is not none, landlock, or a mapping with a mode"),
        ("runner: {concurrency: {gpu: {min: 4, max: 2}}}", "a max that is not below its min"),
        ("- a", "the file (line 1): a list is not a mapping of keys and values"),
        ("a: [", "it is not valid YAML"),
        (
            "handlers:\n  a: {command: [x], default_for: [gpu]}\n  b: {command: [y], default_for: [gpu]}",
            "class gpu has the default handler a already"
        ),
    ])
    func `what is wrong is named with its line`(_ yaml: String, _ expected: String) {
        #expect(message(yaml)?.contains(expected) == true, "\(message(yaml) ?? "it was taken")")
    }

    @Test func `a file that is not there is named`() {
        let error = #expect(throws: OrchestratorError.self) { try SettingsFile(path: "/no/such.yaml") }
        #expect(error?.message.hasPrefix("--config: /no/such.yaml can't be read") == true)
    }
}
