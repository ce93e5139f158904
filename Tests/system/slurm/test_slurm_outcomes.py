from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from batch import submit, until_state
from cluster import Cluster
from eventually import eventually
from jobs import history, result_line, shell
from server import Server

from dspy_orchestrator import Client, OrchestratorError, RetryPolicy


def test_a_batch_job_runs_and_its_result_comes_back(client: Client, cluster: Cluster) -> None:
    submit(client, result_line(json.dumps({"score": 0.5})), "good", gpus=1, time_limit=5)
    job = client.wait("good", timeout=90)
    assert job.state == "succeeded", job
    assert job.result == {"score": 0.5}
    # The job's own word may be here before Slurm's.
    eventually(lambda: cluster.state(job.slurm_job_id) == "COMPLETED", "Slurm to say the same")
    types = [event.type for event in history(client, job.last_sequence)]
    assert types == [
        "task_submitted",
        "slurm_job_submitted",
        "slurm_job_started",
        "task_started",
        "slurm_job_completed",
        "task_completed",
    ]


def test_exit_code_and_signal_are_told_apart(client: Client) -> None:
    submit(client, shell("echo it went wrong >&2; exit 3"), "code")
    submit(client, shell("kill -9 $$"), "signal")
    submit(client, shell("exit 137"), "code-137")
    code, signal, high = (client.wait(name, timeout=90) for name in ("code", "signal", "code-137"))
    assert (code.failure_reason, code.exit_code, code.signal) == ("exit_code", 3, 0)
    assert "it went wrong" in code.error
    assert (signal.failure_reason, signal.exit_code, signal.signal) == ("signal", 0, 9)
    assert (high.failure_reason, high.exit_code, high.signal) == ("exit_code", 137, 0)


def test_cancelled_here(client: Client, cluster: Cluster) -> None:
    submit(client, ["sleep", "600"], "here")
    until_state(client, "here", "running")
    client.cancel("here", reason="not needed")
    job = client.wait("here", timeout=90)
    assert (job.state, job.error) == ("cancelled", "not needed")
    eventually(lambda: cluster.state(job.slurm_job_id) == "CANCELLED", "the batch job cancelled")


def test_cancelled_in_slurm(client: Client, cluster: Cluster) -> None:
    submit(client, ["sleep", "600"], "there")
    running = until_state(client, "there", "running")
    cluster.run("scancel", running.slurm_job_id)
    job = client.wait("there", timeout=90)
    assert job.state == "cancelled"
    assert "was cancelled in Slurm" in job.error


def test_a_deadline_ends_a_batch_job(client: Client, cluster: Cluster) -> None:
    client.submit(payload={"command": ["sleep", "600"]}, job_class="gpu_slurm", job_id="late", deadline=2)
    job = client.wait("late", timeout=90)
    assert (job.state, job.failure_reason) == ("failed", "timeout"), job
    assert "its deadline of 2 s passed" in job.error
    eventually(lambda: cluster.state(job.slurm_job_id) == "CANCELLED", "the batch job cancelled")


def test_a_batch_job_waits_for_what_it_depends_on(client: Client, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    client.submit(shell(f"while [ ! -e {gate} ]; do sleep 0.05; done"), job_id="prepare")
    client.submit(payload={"command": ["true"]}, job_class="gpu_slurm", job_id="train", depends_on=["prepare"])
    client.submit(["true"], job_id="report", depends_on=["train"])
    until_state(client, "prepare", "running")
    assert client.status("train").state == "queued"
    gate.touch()
    assert client.wait("report", timeout=90).state == "succeeded"
    train = client.status("train")
    assert train.state == "succeeded"
    assert train.slurm_job_id


def test_refused_by_slurm_with_its_own_words(client: Client) -> None:
    submit(client, ["true"], "nowhere", partition="no-such-partition")
    job = client.wait("nowhere", timeout=90)
    assert (job.state, job.failure_reason) == ("failed", "submit_rejected")
    assert "Invalid partition name specified" in job.error


def test_the_gateway_tells_of_batch_jobs(server: Server) -> None:
    task = {"id": "by-http", "class": "gpu_slurm", "payload": {"command": ["sleep", "1"]}}
    answer = server.request("/queue/submit", json.dumps(task).encode()).json
    assert (answer["ok"], answer["status"]) == (True, "submitted"), answer
    done = server.done_file("by-http")
    assert done["slurm_job"]["id"] == answer["slurm_job_id"]
    for name in ("by-http", answer["slurm_job_id"]):
        status = server.request(f"/slurm/status/{name}").json
        assert (status["id"], status["task_id"]) == (answer["slurm_job_id"], "by-http")
        assert (status["status"], status["state"], status["exit_code"]) == ("completed", "COMPLETED", 0)
        # Slurm may start it before the server has read sbatch's answer.
        assert max(status["submit_time"], status["start_time"]) <= status["end_time"]
        assert status["payload"] == task["payload"]
    assert server.request("/slurm/status/unknown").status == 404


def test_a_task_file_becomes_a_batch_job(server: Server) -> None:
    task = {"class": "gpu_slurm", "payload": {"command": ["sh", "-c", "exit 3"], "slurm": {"gpus": 1}}}
    (server.queue / "pending/dropped.json").write_text(json.dumps(task))
    done = server.done_file("dropped")
    assert (done["status"], done["exit_code"], done["slurm_job"]["state"]) == ("failed", 3, "FAILED")
    assert done["slurm_job"]["id"].isdigit()

    task["payload"]["slurm"] = {"partition": "a b"}  # type: ignore[index]
    (server.queue / "pending/wrong.json").write_text(json.dumps(task))
    reason = server.queue / "failed/wrong.json.error"
    eventually(reason.exists, "the file's refusal")
    assert "payload.slurm.partition" in reason.read_text()


def test_what_a_job_used_is_known_once_accounting_has_it(server: Server, client: Client) -> None:
    hungry = "import time; kept = bytearray(64 << 20); kept[::4096] = b'x' * (16 << 10); time.sleep(2.5)"
    submit(client, ["python3", "-c", hungry], "hungry", mem=300)
    assert client.wait("hungry", timeout=90).state == "succeeded"

    def used() -> dict[str, Any]:
        found = server.request("/slurm/status/hungry").json["resources"]
        return found if found["max_rss_bytes"] else {}

    resources = eventually(used, "accounting's figures")
    assert resources["max_rss_bytes"] > 64 << 20
    assert 2.5 < resources["elapsed_seconds"] < 30
    assert resources["nodes"] in ("n1", "n2")


def test_reaching_the_time_limit_is_a_timeout(client: Client, cluster: Cluster) -> None:
    submit(client, shell("trap 'exit 0' TERM; while :; do sleep 0.1; done"), "slow", time_limit=1)
    running = until_state(client, "slow", "running")
    # Limits are whole minutes; this one shall not cost that long.
    cluster.run("scontrol", "update", f"jobid={running.slurm_job_id}", "EndTime=now+2seconds")
    job = client.wait("slow", timeout=90)
    assert (job.state, job.failure_reason) == ("failed", "timeout"), job


def test_a_requeued_job_goes_on_as_the_same_attempt(client: Client, cluster: Cluster, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    submit(client, shell(f"echo x >> {ran}; [ $(wc -l < {ran}) -gt 1 ] || sleep 600"), "again", requeue=True)
    running = until_state(client, "again", "running")
    eventually(ran.exists, "its first line")
    cluster.run("scontrol", "requeue", running.slurm_job_id)
    until_state(client, "again", "submitted")
    # Slurm lets a requeued job wait for two minutes.
    cluster.run("scontrol", "update", f"jobid={running.slurm_job_id}", "StartTime=now+2seconds")
    job = client.wait("again", timeout=90)
    assert (job.state, job.attempt, job.slurm_job_id) == ("succeeded", 1, running.slurm_job_id), job
    types = [event.type for event in history(client, job.last_sequence)]
    assert types == [
        "task_submitted",
        "slurm_job_submitted",
        "slurm_job_started",
        "task_started",
        "slurm_job_submitted",
        "slurm_job_started",
        "slurm_job_completed",
        "task_completed",
    ]


def test_preempted_with_a_requeue_goes_on_and_without_one_is_retried(client: Client, cluster: Cluster) -> None:
    once = RetryPolicy(max_attempts=2, initial_backoff=0.1)
    submit(client, ["sleep", "600"], "back", partition="low", nodes=1, cpus_per_task=4, mem=3000)
    submit(client, ["sleep", "600"], "out", partition="lowcancel", nodes=1, cpus_per_task=4, mem=3000, retry=once)
    back, out = (until_state(client, name, "running") for name in ("back", "out"))
    submit(client, ["sleep", "600"], "urgent", partition="high", nodes=2, ntasks=2, cpus_per_task=4, mem=3000)
    until_state(client, "urgent", "running")
    until_state(client, "back", "submitted")
    assert client.status("back").slurm_job_id == back.slurm_job_id
    retried = eventually(lambda: (job := client.status("out")).attempt == 2 and job, "the second attempt")
    assert retried
    reasons = [
        json.loads(event.data)["reason"] if isinstance(event.data, bytes) else event.data["reason"]
        for event in history(client, client.status("out").last_sequence)
        if event.type == "task_retrying"
    ]
    assert reasons == ["preempted"]
    eventually(lambda: client.status("out").slurm_job_id not in ("", out.slurm_job_id), "another batch job")


def test_a_lost_node_fails_what_may_not_be_requeued(client: Client, cluster: Cluster) -> None:
    submit(client, ["sleep", "600"], "stranded", requeue=False)
    until_state(client, "stranded", "running")
    node = cluster.run("squeue", "--noheader", "--format=%N")
    try:
        cluster.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        job = client.wait("stranded", timeout=90)
        assert (job.state, job.failure_reason) == ("failed", "node_failure"), job
        assert node in job.error
    finally:
        # It may have come back by itself.
        cluster.run("scontrol", "update", f"nodename={node}", "state=resume", check=False)


def test_a_lost_node_only_delays_what_may_be_requeued(client: Client, cluster: Cluster, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    submit(client, shell(f"echo x >> {ran}; [ $(wc -l < {ran}) -gt 1 ] || sleep 600"), "moved", requeue=True)
    running = until_state(client, "moved", "running")
    eventually(ran.exists, "its first line")
    node = cluster.run("squeue", "--noheader", "--format=%N")
    try:
        cluster.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        until_state(client, "moved", "submitted")
        # Not at once: a node kills what comes back to it within the second in which it was taken away.
        cluster.run("scontrol", "update", f"jobid={running.slurm_job_id}", "StartTime=now+2seconds")
        job = client.wait("moved", timeout=90)
        assert (job.state, job.attempt, job.slurm_job_id) == ("succeeded", 1, running.slurm_job_id), job
    finally:
        cluster.run("scontrol", "update", f"nodename={node}", "state=resume", check=False)


ADVERSARIAL = [
    'it\'s "quoted"',
    "$(touch injected) `touch injected` ${HOME} $HOME",
    "two\nlines\r\n\ttab",
    "größe 模型 🚀 \u202e",
    "-rf --help",
    "",
    " ",
    "*?[a-z]{a,b}~;&|<>()!#%\\",
    "x" * 100_000,
]


def test_adversarial_words_arrive_unchanged(client: Client, tmp_path: Path) -> None:
    script = "import json,os,sys; print('__DSPY_RESULT__:' + json.dumps([sys.argv[1:], os.environ['VALUE']]))"
    value = "\n".join(ADVERSARIAL[:-1])
    client.submit(
        payload={"command": ["python3", "-c", script, *ADVERSARIAL], "env": {"VALUE": value}},
        job_class="gpu_slurm",
        job_id="adversarial",
    )
    job = client.wait("adversarial", timeout=90)
    assert job.state == "succeeded", job
    assert job.result == [ADVERSARIAL, value]
    assert not list(tmp_path.rglob("injected"))


@pytest.mark.parametrize(
    ("slurm", "field"),
    [
        ({"partition": "--wrap=touch /tmp/x"}, "payload.slurm.partition"),
        ({"account": "a b"}, "payload.slurm.account"),
        ({"time_limit": "1h"}, "payload.slurm.time_limit"),
        ({"gpus": "1 --uid=0"}, "payload.slurm.gpus"),
        ({"array": "1-10"}, "payload.slurm.array"),
        ({"output": "/etc/passwd"}, "payload.slurm.output"),
        ({"mem": -1}, "payload.slurm.mem"),
    ],
)
def test_options_that_are_none_are_refused_by_name(client: Client, slurm: dict[str, Any], field: str) -> None:
    with pytest.raises(OrchestratorError) as refusal:
        submit(client, ["true"], "refused", **slurm)
    assert field in str(refusal.value)


def test_words_too_long_for_a_process_are_refused(client: Client) -> None:
    with pytest.raises(OrchestratorError, match=r"payload.command\[1\] has 200000 bytes"):
        submit(client, ["true", "x" * 200_000], "long")


def test_the_jobs_are_known_by_state_and_commands_by_time(client: Client, server: Server) -> None:
    submit(client, ["true"], "counted")
    client.wait("counted", timeout=90)
    eventually(lambda: 'slurm_jobs{state="running"} 0\n' in server.request("/metrics").text, "none running")
    text = server.request("/metrics").text
    assert "slurm_jobs_submitted_total 1\n" in text
    assert "slurm_jobs_completed_total 1\n" in text
    assert 'slurm_command_duration_seconds_count{command="sbatch",outcome="ok"} 1\n' in text
    [looked] = re.findall(r"^slurm_reconcile_last_success_timestamp_seconds (\S+)$", text, re.MULTILINE)
    assert time.time() - 60 < float(looked) <= time.time()
