from __future__ import annotations

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from batch import submit, until_state
from cluster import Cluster
from eventually import eventually
from google.rpc import error_details_pb2
from jobs import TERMINAL, assert_gapless, history, shell
from refusals import detail, reason, refused
from server import Server

from dspy_orchestrator import Client, FailedPrecondition, Job
from dspy_orchestrator.v1 import orchestrator_pb2 as pb

TWICE = "echo x >> {0}; [ $(wc -l < {0}) -gt 1 ] || sleep 600"


def soon(cluster: Cluster, slurm_job_id: str) -> None:
    """Slurm lets a requeued job wait for two minutes."""
    cluster.run("scontrol", "update", f"jobid={slurm_job_id}", "StartTime=now+2seconds")


def test_a_requeued_job_goes_on_under_its_id_with_the_restart_counted(
    server: Server, client: Client, cluster: Cluster, tmp_path: Path
) -> None:
    submit(client, shell(TWICE.format(tmp_path / "ran")), "again")
    running = until_state(client, "again", "running")
    eventually((tmp_path / "ran").exists, "its first line")
    assert client.requeue("again", "a hung node").slurm_job_id == running.slurm_job_id
    waiting = until_state(client, "again", "submitted")
    # It waits already, and is left alone.
    assert client.requeue("again", "once more") == waiting
    soon(cluster, running.slurm_job_id)
    job = client.wait("again", timeout=90)
    assert (job.state, job.attempt, job.slurm_job_id) == ("succeeded", 1, running.slurm_job_id), job
    assert server.request("/slurm/status/again").json["restarts"] == 1
    log = history(client, job.last_sequence)
    assert [event.data["reason"] for event in log if "reason" in event.data and event.type.startswith("slurm")] == [
        "a hung node"
    ]
    assert_gapless(log)


def test_a_suspended_job_is_requeued_over_http(client: Client, server: Server, cluster: Cluster) -> None:
    submit(client, ["sleep", "600"], "suspended")
    running = until_state(client, "suspended", "running")
    cluster.run("scontrol", "suspend", running.slurm_job_id)
    answer = server.request("/v1/jobs/suspended/requeue", json.dumps({"reason": "make room"}).encode())
    assert (answer.status, answer.json["slurm_job_id"]) == (200, running.slurm_job_id), answer.text
    assert until_state(client, "suspended", "submitted").slurm_job_id == running.slurm_job_id


def test_what_slurm_does_not_requeue_is_refused_with_its_words(server: Server, client: Client) -> None:
    submit(client, ["sleep", "600"], "once", requeue=False)
    until_state(client, "once", "running")
    error = refused(lambda: server.stub().RequeueJob(pb.RequeueJobRequest(job_id="once"), timeout=30))
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reason(error) == ("SLURM_REFUSED", {"job_id": "once"})
    assert "Requested operation is presently disabled" in error.details()
    assert client.status("once").state == "running"


def test_what_is_not_in_slurm_is_refused_with_the_remedy(
    stopped_server: Server, cluster: Cluster, tmp_path: Path
) -> None:
    wrapper, gate = tmp_path / "bin", tmp_path / "gate"
    wrapper.mkdir()
    for name in ("squeue", "sacct", "scancel", "scontrol"):
        (wrapper / name).symlink_to(f"/usr/bin/{name}")
    (wrapper / "sbatch").write_text(
        f'#!/bin/sh\ntouch {gate}.reached\nwhile [ ! -e {gate} ]; do sleep 0.05; done\nexec /usr/bin/sbatch "$@"\n'
    )
    (wrapper / "sbatch").chmod(0o755)
    stopped_server.flags += ("--slurm-bin", str(wrapper))
    with stopped_server.start().client() as client:
        submit(client, ["true"], "batch")
        client.submit(["true"], job_id="local")
        eventually(Path(f"{gate}.reached").exists, "sbatch under way")
        with pytest.raises(FailedPrecondition, match="has not reached Slurm yet"):
            client.requeue("batch")
        with pytest.raises(FailedPrecondition, match="is of class cpu_short"):
            client.requeue("local")
        gate.touch()
        assert client.wait("batch", timeout=90).state == "succeeded"
        with pytest.raises(FailedPrecondition, match="has ended as succeeded"):
            client.requeue("batch")


def test_while_the_controller_is_away_a_requeue_is_to_be_tried_again(
    server: Server, client: Client, cluster: Cluster
) -> None:
    submit(client, ["sleep", "600"], "running")
    until_state(client, "running", "running")
    cluster.stop("slurmctld")
    try:
        error = refused(lambda: server.stub().RequeueJob(pb.RequeueJobRequest(job_id="running"), timeout=60))
        assert error.code() is grpc.StatusCode.UNAVAILABLE, error
        assert reason(error) == ("SLURM_UNAVAILABLE", {"job_id": "running"})
        assert detail(error, error_details_pb2.RetryInfo()).retry_delay.seconds == 5
        assert server.request("/v1/jobs/running/requeue", b"").status == 503
        assert client.status("running").state == "running"
    finally:
        cluster.up()
    # The client tries again by itself.
    client.requeue("running")
    until_state(client, "running", "submitted")


def with_late_requeue(server: Server, directory: Path, ran: Path) -> None:
    """Lets the first `scontrol requeue` reach Slurm only when the job, told by a file, has ended by itself, and well.

    A client that asks again may come when the job waits in the queue once more, and is not to wait for its end.
    """
    wrapper = directory / "bin"
    wrapper.mkdir()
    for name in ("sbatch", "squeue", "sacct", "scancel"):
        (wrapper / name).symlink_to(f"/usr/bin/{name}")
    (wrapper / "scontrol").write_text(
        f'#!/bin/sh\n[ $1 = requeue ] && [ ! -e {ran}.end ] || exec /usr/bin/scontrol "$@"\ntouch {ran}.end\n'
        "until squeue --noheader --states=COMPLETED --format=%i | grep -qx $2; do sleep 0.05; done\n"
        f'while [ -e {ran}.hold ]; do sleep 0.05; done\nexec /usr/bin/scontrol "$@"\n'
    )
    (wrapper / "scontrol").chmod(0o755)
    server.flags += ("--slurm-bin", str(wrapper), "--slurm-command-seconds", "60")


def submit_edge(client: Client, ran: Path) -> Job:
    command = f"echo $SLURM_RESTART_COUNT >> {ran}; while [ ! -e {ran}.end ]; do sleep 0.05; done"
    submit(client, shell(command), "edge")
    return until_state(client, "edge", "running")


def assert_edge_ended(client: Client, ran: Path, *, runs: int) -> None:
    job = client.wait("edge", timeout=90)
    log = history(client, job.last_sequence)
    assert (job.state, job.attempt) == ("succeeded", 1), job
    assert len(ran.read_text().splitlines()) == runs
    assert [event.type for event in log if event.type in TERMINAL] == ["task_completed"]


def test_a_job_that_ends_as_it_is_requeued_ends_once(stopped_server: Server, cluster: Cluster, tmp_path: Path) -> None:
    # Slurm runs it again all the same.
    ran = tmp_path / "ran"
    with_late_requeue(stopped_server, tmp_path, ran)
    with stopped_server.start().client(timeout=90) as client:
        running = submit_edge(client, ran)
        client.requeue("edge")
        until_state(client, "edge", "submitted")
        soon(cluster, running.slurm_job_id)
        assert_edge_ended(client, ran, runs=2)


def test_killed_once_slurm_has_the_requeue_it_ends_once(
    stopped_server: Server, cluster: Cluster, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    with_late_requeue(stopped_server, tmp_path, ran)
    stopped_server.environment["ORCHESTRATOR_SLURM_FAULT"] = "after-requeue"
    with stopped_server.start().client(timeout=90) as client:
        running = submit_edge(client, ran)
        with ThreadPoolExecutor() as pool:
            asked = pool.submit(client.requeue, "edge", "a hung node")
            assert stopped_server.wait(60) == -signal.SIGKILL
            del stopped_server.environment["ORCHESTRATOR_SLURM_FAULT"]
            stopped_server.start()
            # The client asks again by itself.
            asked.result(90)
        until_state(client, "edge", "submitted")
        soon(cluster, running.slurm_job_id)
        assert_edge_ended(client, ran, runs=2)
        reasons = [event.data.get("reason") for event in client.events(job_ids=["edge"], end_when_done=True)]
        assert [reason for reason in reasons if reason] == ["a hung node"]


def test_killed_while_the_requeue_is_on_its_way_it_ends_once(
    stopped_server: Server, cluster: Cluster, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    with_late_requeue(stopped_server, tmp_path, ran)
    hold = Path(f"{ran}.hold")
    hold.touch()
    with stopped_server.start().client(timeout=90) as client:
        running = submit_edge(client, ran)
        with ThreadPoolExecutor() as pool:
            asked = pool.submit(client.requeue, "edge")
            eventually(lambda: cluster.state(running.slurm_job_id) == "COMPLETED", "its command to end")
            stopped_server.kill()
            stopped_server.start()

            since = time.monotonic()

            def is_settled_without_scontrol() -> bool:
                assert client.status("edge").state == "running"
                return time.monotonic() > since + 4

            eventually(is_settled_without_scontrol, "the time for which a requeue may be on its way")
            hold.unlink()
            asked.result(90)
        until_state(client, "edge", "submitted")
        soon(cluster, running.slurm_job_id)
        assert_edge_ended(client, ran, runs=2)


def test_killed_before_the_requeue_reaches_slurm_the_end_is_the_jobs(
    stopped_server: Server, cluster: Cluster, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    stopped_server.environment["ORCHESTRATOR_SLURM_FAULT"] = "before-requeue"
    stopped_server.start()
    with stopped_server.client() as client:
        running = submit_edge(client, ran)
        error = refused(lambda: stopped_server.stub().RequeueJob(pb.RequeueJobRequest(job_id="edge"), timeout=60))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert stopped_server.wait(30) == -signal.SIGKILL
        Path(f"{ran}.end").touch()
        eventually(lambda: cluster.state(running.slurm_job_id) == "COMPLETED", "its command to end")
        del stopped_server.environment["ORCHESTRATOR_SLURM_FAULT"]
        stopped_server.start()
        assert_edge_ended(client, ran, runs=1)
