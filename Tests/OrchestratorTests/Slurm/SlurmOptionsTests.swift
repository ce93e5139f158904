import Testing

@testable import Orchestrator

@Suite struct SlurmOptionsTests {
    private func options(_ json: String) throws -> SlurmOptions {
        try SlurmOptions(try JSONNode(parsing: Array(json.utf8)))
    }

    @Test func `each option becomes one argument`() throws {
        let all = try options(
            """
            {"partition": "gpu,main", "account": "lab_1", "qos": "high", "time_limit": "1-02:30:00", "nodes": "2-4",
             "ntasks": 8, "cpus_per_task": 4, "mem": "16G", "gpus": "a100:2", "constraint": "a100&nvlink",
             "dependency": "afterok:12:13,singleton", "requeue": false, "exclusive": true}
            """)
        #expect(
            all.arguments == [
                "--partition=gpu,main", "--account=lab_1", "--qos=high", "--time=1-02:30:00", "--nodes=2-4",
                "--ntasks=8", "--cpus-per-task=4", "--mem=16G", "--gpus=a100:2", "--constraint=a100&nvlink",
                "--dependency=afterok:12:13,singleton", "--no-requeue", "--exclusive", "--kill-on-invalid-dep=yes",
            ])
        #expect(
            try options(#"{"time_limit": 90, "gpus": 2, "mem": 4000}"#).arguments == [
                "--time=90", "--mem=4000", "--gpus=2",
            ])
        #expect(try SlurmOptions(nil).arguments.isEmpty)
        #expect(try options("null").arguments.isEmpty)
    }

    @Test(arguments: [
        (#"{"partition": "a b"}"#, "payload.slurm.partition"),
        (#"{"partition": "--wrap=x"}"#, "payload.slurm.partition"),
        (#"{"partition": ""}"#, "payload.slurm.partition"),
        (#"{"account": "a\nb"}"#, "payload.slurm.account"),
        (#"{"qos": 5}"#, "payload.slurm.qos"),
        (#"{"time_limit": "1h"}"#, "payload.slurm.time_limit"),
        (#"{"time_limit": "1:2:3:4"}"#, "payload.slurm.time_limit"),
        (#"{"time_limit": 1.5}"#, "payload.slurm.time_limit"),
        (#"{"nodes": 0}"#, "payload.slurm.nodes"),
        (#"{"nodes": "4-2"}"#, "payload.slurm.nodes"),
        (#"{"nodes": "1-2-3"}"#, "payload.slurm.nodes"),
        (#"{"ntasks": "1;2"}"#, "payload.slurm.ntasks"),
        (#"{"mem": "1X"}"#, "payload.slurm.mem"),
        (#"{"gpus": "gpu:a:b:1"}"#, "payload.slurm.gpus"),
        (#"{"constraint": "$(id)"}"#, "payload.slurm.constraint"),
        (#"{"dependency": "expand:1"}"#, "payload.slurm.dependency"),
        (#"{"dependency": "afterok"}"#, "payload.slurm.dependency"),
        (#"{"array": "1-9"}"#, "payload.slurm.array"),
        (#"{"requeue": "yes"}"#, "payload.slurm.requeue"),
        (#"{"wrap": "rm"}"#, "payload.slurm.wrap"),
        (#"{"time": 5, "time_limit": 6}"#, "payload.slurm.time"),
        ("[]", "payload.slurm"),
    ])
    func `what is no value of an option is refused by its field`(json: String, field: String) {
        #expect {
            try options(json)
        } throws: { error in
            (error as? OrchestratorError)?.kind == .invalidArgument(field: field)
        }
    }
}
