from __future__ import annotations

import json

from cluster import Cluster
from eventually import eventually
from jobs import history, result_line, shell
from server import Server

from dspy_orchestrator import Client, Job


def submit(client: Client, command: list[str], name: str, **slurm: object) -> Job:
    return client.submit(payload={"command": command, "slurm": slurm}, job_class="gpu_slurm", job_id=name)


def test_a_batch_job_runs_and_its_result_comes_back(client: Client, cluster: Cluster) -> None:
    submit(client, result_line(json.dumps({"score": 0.5})), "good", gpus=1, time_limit=5)
    job = client.wait("good", timeout=30)
    assert job.state == "succeeded", job
    assert job.result == {"score": 0.5}
    assert cluster.state(job.slurm_job_id) in ("COMPLETED", "COMPLETING")
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
    code, signal, high = (client.wait(name, timeout=30) for name in ("code", "signal", "code-137"))
    assert (code.failure_reason, code.exit_code, code.signal) == ("exit_code", 3, 0)
    assert "it went wrong" in code.error
    assert (signal.failure_reason, signal.exit_code, signal.signal) == ("signal", 0, 9)
    assert (high.failure_reason, high.exit_code, high.signal) == ("exit_code", 137, 0)


def test_cancelled_here(client: Client, cluster: Cluster) -> None:
    job = submit(client, ["sleep", "600"], "here")
    eventually(lambda: client.status("here").state == "running", "the job running")
    client.cancel("here", reason="not needed")
    job = client.wait("here", timeout=30)
    assert (job.state, job.error) == ("cancelled", "not needed")
    eventually(lambda: cluster.state(job.slurm_job_id) == "CANCELLED", "the batch job cancelled")


def test_cancelled_in_slurm(client: Client, cluster: Cluster) -> None:
    submit(client, ["sleep", "600"], "there")
    running = eventually(lambda: next((j for j in [client.status("there")] if j.state == "running"), None), "running")
    cluster.run("scancel", running.slurm_job_id)
    job = client.wait("there", timeout=30)
    assert job.state == "cancelled"
    assert "was cancelled in Slurm" in job.error


def test_refused_by_slurm_with_its_own_words(client: Client) -> None:
    submit(client, ["true"], "nowhere", partition="no-such-partition")
    job = client.wait("nowhere", timeout=30)
    assert (job.state, job.failure_reason) == ("failed", "submit_rejected")
    assert "Invalid partition name specified" in job.error


def test_the_gateway_tells_of_batch_jobs(server: Server) -> None:
    task = {"id": "by-http", "class": "gpu_slurm", "payload": {"command": ["sleep", "1"]}}
    answer = server.request("/queue/submit", json.dumps(task).encode()).json
    assert answer["ok"] and answer["status"] == "submitted", answer
    done = server.done_file("by-http")
    assert done["slurm_job"]["id"] == answer["slurm_job_id"]
    for name in ("by-http", answer["slurm_job_id"]):
        status = server.request(f"/slurm/status/{name}").json
        assert (status["id"], status["task_id"]) == (answer["slurm_job_id"], "by-http")
        assert (status["status"], status["state"], status["exit_code"]) == ("completed", "COMPLETED", 0)
        assert status["submit_time"] and status["start_time"] and status["end_time"]
        assert status["payload"] == task["payload"]
    assert server.request("/slurm/status/unknown").status == 404
