import Testing

@testable import Orchestrator

/// Recorded from Slurm 22.05.8, with the separator as it is asked for.
@Suite struct SlurmOutputTests {
    private func recorded(_ text: String) -> String { text.replacing("|", with: SlurmOutput.separator) }

    @Test func `squeue's lines are read, array jobs and other names too`() {
        let rows = SlurmOutput.queue(
            recorded(
                """
                2|ok|COMPLETED|None|n1|1795466159|1795466159
                3|sig|FAILED|JobLaunchFailure|n1|1795466159|1795466159
                5|hold|PENDING|JobHeldUser||N/A|N/A
                4|long|RUNNING|None|n[1-2]|1795466159|1795469759
                6_3|arr|PENDING|JobArrayTaskLimit||N/A|N/A

                """))
        #expect(rows.map(\.id) == ["2", "3", "5", "4"], "an element of an array is none of ours")
        #expect(rows.map(\.state) == ["COMPLETED", "FAILED", "PENDING", "RUNNING"])
        #expect(rows[0].endedAt == Timestamp(nanoseconds: 1_795_466_159_000_000_000))
        #expect(rows[2].startedAt == nil)
        #expect(rows[3].nodes == "n[1-2]")
    }

    @Test func `a line with another number of fields is left out`() {
        let rows = SlurmOutput.queue(
            recorded("7|evil|name|RUNNING|None|n1|1|2\n8|good|RUNNING|None|n1|1795466159|N/A\nx\n"))
        #expect(rows.map(\.id) == ["8"])
    }

    @Test func `sacct's lines are read, steps and who cancelled`() {
        let rows = SlurmOutput.accounting(
            recorded(
                """
                1|wrap|FAILED|3:0|1795466137|1795466137|0|n1|
                1.batch|batch|FAILED|3:0|1795466137|1795466140|3|n1|1640K
                3|sig|FAILED|0:9|1795466159|1795466159|0|n1|
                4|long|RUNNING|0:0|1795466159|Unknown|2|n1|
                5|hold|CANCELLED by 1000|0:0|None|1795466160|0|None assigned|
                9|oom|OUT_OF_MEMORY|0:125|1795466159|1795466159|0|n1|12.50M

                """))
        #expect(rows.count == 6)
        #expect(rows[0].exitCode == 3 && rows[0].step == nil)
        #expect(rows[1].step == "batch" && rows[1].id == "1" && rows[1].maxRSSBytes == 1640 * 1024)
        #expect(rows[2].signal == 9)
        #expect(rows[3].endedAt == nil && rows[3].elapsedSeconds == 2)
        #expect(rows[4].state == "CANCELLED" && rows[4].cancelledBy == "1000" && rows[4].nodes == "")
        #expect(rows[5].maxRSSBytes == 13_107_200)
    }

    @Test func `scontrol's one-line records are read`() {
        let rows = SlurmOutput.control(
            """
            JobId=3 JobName=sig UserId=root(0) GroupId=root(0) MCS_label=N/A Priority=4294901757 Nice=0 Account=root \
            QOS=normal JobState=FAILED Reason=JobLaunchFailure Dependency=(null) Requeue=1 Restarts=0 BatchFlag=1 \
            Reboot=0 ExitCode=0:9 RunTime=00:00:00 TimeLimit=01:00:00 TimeMin=N/A SubmitTime=1795466159 \
            EligibleTime=1795466159 AccrueTime=1795466159 StartTime=1795466159 EndTime=1795466160 Deadline=N/A \
            ReqNodeList=(null) ExcNodeList=(null) NodeList=n1 BatchHost=n1 NumNodes=1
            No jobs in the system
            """)
        #expect(rows.count == 1)
        #expect(rows[0].id == "3" && rows[0].name == "sig" && rows[0].state == "FAILED" && rows[0].signal == 9)
        #expect(rows[0].nodes == "n1")
        #expect(rows[0].endedAt == Timestamp(nanoseconds: 1_795_466_160_000_000_000))
    }

    @Test(arguments: [
        ("1147\n", "1147"), ("1147;lab\n", "1147"), ("note of a plugin\n1147\n", "1147"), ("", nil),
        ("Submitted batch job 1147\n", nil), ("-1\n", nil),
    ])
    func `sbatch's answer is a number or none`(text: String, id: String?) {
        #expect(SlurmOutput.submitted(text) == id)
    }

    @Test(arguments: [
        ("slurm_load_jobs error: Unable to contact slurm controller (connect failure)", SlurmComplaint.away),
        ("sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)", .away),
        ("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation", .inDoubt),
        ("sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying.", .away),
        ("Slurm accounting storage is disabled", .noAccounting),
        (
            "sacct: error: slurm_persist_conn_open_without_init: failed to open persistent connection to host:localhost:1:"
                + " Connection refused", .away
        ),
        ("sbatch: error: Batch job submission failed: Invalid partition name specified", .refused),
        ("sbatch: error: Invalid --time specification", .refused),
        ("", .refused),
    ])
    func `why a command failed is told apart`(text: String, complaint: SlurmComplaint) {
        #expect(SlurmComplaint(text) == complaint)
    }

    @Test func `Slurm's words come without its programs' names`() {
        #expect(
            SlurmComplaint.words(
                """
                sbatch: error: invalid partition specified: nope
                sbatch: error: Batch job submission failed: Invalid partition name specified

                """) == "invalid partition specified: nope; Invalid partition name specified")
        #expect(SlurmComplaint.words(String(repeating: "x", count: 2_000)).count == 500)
    }
}
