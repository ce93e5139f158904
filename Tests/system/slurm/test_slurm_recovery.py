from __future__ import annotations

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from batch import submit, until_state
from cluster import Cluster
from eventually import eventually
from jobs import assert_each_ended_once, assert_gapless, history, shell
from server import Server

from dspy_orchestrator.v1 import orchestrator_pb2 as pb


@pytest.mark.parametrize("point", ["before-intent", "after-intent", "before-sbatch", "after-sbatch", "after-accepted"])
def test_killed_at_any_point_of_a_submission_it_runs_the_job_once(
    stopped_server: Server, cluster: Cluster, tmp_path: Path, point: str
) -> None:
    ran = tmp_path / "ran"
    stopped_server.environment["ORCHESTRATOR_SLURM_FAULT"] = point
    stopped_server.start()
    with stopped_server.client(timeout=90) as client, ThreadPoolExecutor() as pool:
        # The answer may go with the server; the client asks again by itself.
        asked = pool.submit(submit, client, shell(f"echo $SLURM_JOB_ID >> {ran}"), "once")
        assert stopped_server.wait(60) == -signal.SIGKILL
        del stopped_server.environment["ORCHESTRATOR_SLURM_FAULT"]
        stopped_server.start()
        asked.result(90)
        job = client.wait("once", timeout=90)
        log = history(client, job.last_sequence)
    assert (job.state, job.attempt) == ("succeeded", 1), job
    assert ran.read_text().split() == [job.slurm_job_id]
    assert_gapless(log)
    assert_each_ended_once(log, ["once"])


def test_what_ran_and_ended_while_the_server_was_down_is_known_afterwards(
    server: Server, cluster: Cluster, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    with server.client() as client:
        submit(client, shell(f"while [ ! -e {gate} ]; do sleep 0.1; done; exit 4"), "ended")
        submit(client, ["sleep", "600"], "running")
        submit(client, ["sleep", "600"], "gone", requeue=False)
        ended, running, gone = (until_state(client, name, "running") for name in ("ended", "running", "gone"))
    server.kill()
    gate.touch()
    cluster.run("scancel", gone.slurm_job_id)
    eventually(lambda: cluster.state(ended.slurm_job_id) == "FAILED", "the first to end")
    server.start()
    with server.client() as client:
        job = client.wait("ended", timeout=90)
        assert (job.failure_reason, job.exit_code) == ("exit_code", 4), job
        assert client.wait("gone", timeout=90).state == "cancelled"
        assert client.status("running").slurm_job_id == running.slurm_job_id
        client.cancel("running")
        assert client.wait("running", timeout=90).state == "cancelled"


def test_a_controller_that_is_away_for_a_minute_delays_and_fails_nothing(
    server: Server, cluster: Cluster, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    gates = {name: tmp_path / name for name in ("before", "within", "through")}
    waits = {name: f"while [ ! -e {gate} ]; do sleep 0.1; done" for name, gate in gates.items()}
    with server.client() as client:
        submit(client, shell(f"{waits['before']}; exit 5"), "before")
        # They end in the outage and after it.
        for name in ("within", "through"):
            submit(client, shell(f"echo {name} >> {ran}; {waits[name]}"), name)
        started = {name: until_state(client, name, "running") for name in ("before", "within", "through")}
        cluster.stop("slurmctld")
        gates["before"].touch()
        away_since = time.monotonic()
        try:
            submit(client, shell(f"echo meanwhile >> {ran}"), "meanwhile")
            client.submit(["true"], job_id="local")
            assert client.wait("local", timeout=90).state == "succeeded"
            # Its own marker tells, without Slurm.
            assert client.wait("before", timeout=90).exit_code == 5

            def outage() -> bool:
                return bool(server.request("/health").json["checks"]["slurm"]["status"] == "degraded")

            eventually(outage, "health to tell of the outage", timeout=60)
            assert server.request("/readyz").status == 200
            task = {"id": "by-http", "class": "gpu_slurm", "payload": {"command": ["true"]}}
            answer = server.request("/queue/submit", json.dumps(task).encode()).json
            assert (answer["ok"], answer["slurm_job_id"], answer["status"]) == (True, None, "queued")
            gates["within"].touch()
            assert client.wait("within", timeout=90).state == "succeeded"

            def minute_is_over() -> bool:
                assert outage()
                assert client.status("through").state == "running"
                assert client.status("meanwhile").state == "queued"
                return time.monotonic() >= away_since + 60

            eventually(minute_is_over, "a minute of outage", timeout=61)
        finally:
            cluster.up()
        gates["through"].touch()
        for name in ("meanwhile", "by-http", "through"):
            job = client.wait(name, timeout=90)
            assert (job.state, job.attempt) == ("succeeded", 1), job
            assert job.slurm_job_id == getattr(started.get(name), "slurm_job_id", job.slurm_job_id)
        eventually(lambda: server.request("/health").json["status"] == "healthy", "health")
        names = (*gates, "meanwhile", "by-http")
        log = history(client, max(client.status(name).last_sequence for name in names))
    # None was doubled, neither here nor in Slurm.
    assert_gapless(log)
    assert_each_ended_once(log, names)
    assert sorted(ran.read_text().split()) == ["meanwhile", "through", "within"]
    assert len(cluster.names()) == len(set(cluster.names()))


def test_a_cut_off_sbatch_is_found_again_and_not_repeated(
    stopped_server: Server, cluster: Cluster, tmp_path: Path
) -> None:
    # The controller takes the job, and its answer never comes: sbatch is stopped once it has sent its request.
    wrapper = tmp_path / "bin"
    wrapper.mkdir()
    for name in ("squeue", "sacct", "scancel", "scontrol"):
        (wrapper / name).symlink_to(f"/usr/bin/{name}")
    (wrapper / "sbatch").write_text('#!/bin/sh\n/usr/bin/sbatch "$@" >/dev/null\nexec sleep 600\n')
    (wrapper / "sbatch").chmod(0o755)
    stopped_server.flags += ("--slurm-bin", str(wrapper), "--slurm-command-seconds", "5", "--log-format", "json")
    ran = tmp_path / "ran"
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    payload = json.dumps({"command": shell(f"echo $SLURM_JOB_ID >> {ran}; sleep 1")}).encode()
    request = pb.SubmitJobRequest(job_id="cut-off", job_class=pb.JOB_CLASS_GPU_SLURM, payload=payload)
    with stopped_server.start().client() as client:
        metadata = [("traceparent", f"00-{trace}-00f067aa0ba902b7-01")]
        stopped_server.stub().SubmitJob(request, metadata=metadata, timeout=10)
        job = client.wait("cut-off", timeout=90)
    assert (job.state, job.attempt) == ("succeeded", 1), job
    assert ran.read_text().split() == [job.slurm_job_id]
    assert len(cluster.names()) == len(set(cluster.names()))
    lines = [json.loads(line) for line in stopped_server.stderr.read_text().splitlines()]
    about = [line for line in lines if "job_id" in line]
    assert any(line["message"].startswith("a submission's outcome is open") for line in about)
    assert {(line["job_id"], line.get("trace_id")) for line in about} == {("cut-off", trace)}


def test_cancelled_between_submission_and_id(stopped_server: Server, cluster: Cluster, tmp_path: Path) -> None:
    wrapper = tmp_path / "bin"
    wrapper.mkdir()
    for name in ("squeue", "sacct", "scancel", "scontrol"):
        (wrapper / name).symlink_to(f"/usr/bin/{name}")
    gate = tmp_path / "gate"
    (wrapper / "sbatch").write_text(
        f'#!/bin/sh\nid=$(/usr/bin/sbatch "$@")\ntouch {gate}.reached\n'
        f"while [ ! -e {gate} ]; do sleep 0.05; done\necho $id\n"
    )
    (wrapper / "sbatch").chmod(0o755)
    stopped_server.flags += ("--slurm-bin", str(wrapper))
    with stopped_server.start().client() as client:
        submit(client, ["sleep", "600"], "between")
        eventually(Path(f"{gate}.reached").exists, "sbatch under way")
        assert client.cancel("between", reason="changed my mind").state == "queued"
        gate.touch()
        job = client.wait("between", timeout=90)
    assert (job.state, job.error) == ("cancelled", "changed my mind"), job
    eventually(lambda: cluster.state(job.slurm_job_id) == "CANCELLED", "the batch job cancelled")


def test_two_servers_on_one_cluster_keep_apart(
    server: Server, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Server(tmp_path_factory.mktemp("other"), *server.flags, **server.environment)
    try:
        with server.client() as mine, other.start().client() as theirs:
            submit(mine, shell("sleep 0.5; exit 1"), "same-name")
            submit(theirs, shell("sleep 0.5; exit 2"), "same-name")
            assert mine.wait("same-name", timeout=90).exit_code == 1
            assert theirs.wait("same-name", timeout=90).exit_code == 2
    finally:
        other.close()
