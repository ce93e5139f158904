import Foundation
import Testing

@testable import Orchestrator

@Suite struct SlurmTemplateTests {
    private func template(_ text: String, name: String = "train") throws -> SlurmTemplate {
        try SlurmTemplate(name: name, text: Array(text.utf8), path: "/t/\(name).sbatch")
    }

    @Test func `directives and required parameters are read, up to the first command`() throws {
        let read = try template(
            """
            #!/bin/bash
            # words
            #DSPY require module dataset
            #SBATCH --gpus=1
            #SBATCH --time=01:00:00

            echo
            #SBATCH --array=1-10

            """)
        #expect(read.directives == ["#SBATCH --gpus=1", "#SBATCH --time=01:00:00"])
        #expect(read.required == ["module", "dataset"])
    }

    @Test(arguments: [
        ("echo", "does not start with #!"),
        ("#!/bin/bash\n#SBATCH --nodes=${NODES:-1}\n", "reads directives literally"),
        ("#!/bin/bash\n#SBATCH --job-name=x\n", "--job-name is set by this server"),
        ("#!/bin/bash\n#SBATCH -ofile\n", "-o is set by this server"),
        ("#!/bin/bash\n#SBATCH --array=1-3\n", "--array is set by this server"),
        ("#!/bin/bash\r\n", "carriage returns"),
        ("#!/bin/bash\n#DSPY needs x\n", "#DSPY require NAME"),
    ])
    func `what Slurm would take otherwise than it is meant is refused at the start`(text: String, why: String) {
        #expect {
            try template(text)
        } throws: { error in
            (error as? OrchestratorError)?.message.contains(why) == true
        }
    }

    @Test func `the templates that come with the server are in order`() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../..").standardized
        let all = try SlurmTemplate.all(in: root.appending(path: "deploy/slurm").path)
        #expect(Set(all.keys) == ["grpo", "torchrun"])
        #expect(all["grpo"]?.required == ["module", "dataset", "model"])
    }

    @Test func `parameters are the payload's texts, numbers and booleans`() throws {
        let templates = ["train": try template("#!/bin/bash\n#DSPY require model\n")]
        func work(_ json: String) throws -> SlurmWork {
            try SlurmWork(JobSpec(jobClass: .gpuSlurm, payload: Array(json.utf8)), templates: templates)
        }
        let made = try work(
            #"{"method": "train", "model": "a'b", "steps": 3, "rate": 0.5, "fast": true, "deep": {"a": 1}}"#)
        guard case .template(_, let parameters) = made.program else {
            Issue.record("no template")
            return
        }
        #expect(parameters == ["method": "train", "model": "a'b", "steps": "3", "rate": "0.5", "fast": "true"])
        for (json, field) in [
            (#"{"method": "train"}"#, "payload.model"),
            (#"{"method": "train", "model": "a\nb"}"#, "payload.model"),
            (#"{"method": "other", "model": "a"}"#, "payload.method"),
            (#"{"template": "../../etc/passwd"}"#, "payload.template"),
            ("{}", "payload"),
            (#"{"command": ["true"], "env": {"A B": "x"}}"#, "payload.env"),
            (#"{"command": ["true"], "env": {"UID": "0"}}"#, "payload.env.UID"),
        ] {
            #expect {
                try work(json)
            } throws: { error in
                (error as? OrchestratorError)?.kind == .invalidArgument(field: field)
            }
        }
    }

    @Test func `a job's timeout and resources stand in for options that it leaves open`() throws {
        func arguments(_ json: String, _ resources: Resources = .unspecified) throws -> [String] {
            var spec = JobSpec(jobClass: .gpuSlurm, payload: Array(json.utf8), timeout: .seconds(90))
            spec.resources = resources
            return try SlurmWork(spec, templates: [:]).options.arguments
        }
        #expect(try arguments(#"{"command": ["true"]}"#) == ["--time=2"])
        #expect(try arguments(#"{"command": ["true"], "slurm": {"time_limit": 9}}"#) == ["--time=9"])
        let resources = Resources(cpus: 1.5, memoryBytes: 3 << 20 + 1, gpus: 2)
        #expect(
            try arguments(#"{"command": ["true"]}"#, resources)
                == ["--cpus-per-task=2", "--mem=4M", "--gpus=2", "--time=2"])
    }
}
