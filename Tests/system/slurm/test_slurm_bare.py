"""On a cluster without accounting, where memory is limited by cgroups if this machine lets us."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from batch import submit, until_state
from cluster import Cluster
from eventually import eventually
from jobs import shell
from server import Server

from dspy_orchestrator import Client

MEMORY_CGROUPS = Path("/sys/fs/cgroup/memory")
CAN_LIMIT_MEMORY = os.geteuid() == 0 and os.access(MEMORY_CGROUPS / "cgroup.procs", os.W_OK)


@pytest.fixture(scope="module")
def bare_cluster() -> Iterator[Cluster]:
    made = Cluster(accounting="0", cgroup=str(int(CAN_LIMIT_MEMORY)), conf="MinJobAge=2")
    try:
        yield made.up()
    finally:
        made.close()


@pytest.fixture
def cluster(bare_cluster: Cluster) -> Iterator[Cluster]:
    yield bare_cluster
    bare_cluster.forget_everything()


def test_outcomes_are_told_apart_without_accounting(client: Client, cluster: Cluster) -> None:
    submit(client, ["true"], "good")
    submit(client, shell("exit 3"), "code")
    submit(client, shell("kill -11 $$"), "signal")
    good, code, signal = (client.wait(name, timeout=90) for name in ("good", "code", "signal"))
    assert good.state == "succeeded"
    assert (code.failure_reason, code.exit_code) == ("exit_code", 3)
    assert (signal.failure_reason, signal.signal) == ("signal", 11)

    submit(client, ["sleep", "600"], "cancelled")
    running = until_state(client, "cancelled", "running")
    cluster.run("scancel", running.slurm_job_id)
    assert client.wait("cancelled", timeout=90).state == "cancelled"


@pytest.mark.skipif(not CAN_LIMIT_MEMORY, reason="needs root and a memory cgroup of version 1")
def test_using_too_much_memory_is_told_from_other_kills(client: Client, cluster: Cluster) -> None:
    hungry = "kept = bytearray(400 << 20); kept[::4096] = b'x' * (100 << 10)"
    submit(client, ["python3", "-c", hungry], "hungry", mem=100)
    submit(client, shell("kill -9 $$"), "killed", mem=100)
    hungry_job, killed = (client.wait(name, timeout=90) for name in ("hungry", "killed"))
    assert (hungry_job.state, hungry_job.failure_reason) == ("failed", "out_of_memory"), hungry_job
    assert "more memory than it had asked for" in hungry_job.error
    assert (killed.failure_reason, killed.signal) == ("signal", 9), killed


def test_a_job_that_slurm_has_forgotten_is_known_by_what_it_left(
    server: Server, cluster: Cluster, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    with server.client() as client:
        submit(client, shell(f"while [ ! -e {gate} ]; do sleep 0.1; done; echo kept; exit 7"), "forgotten")
        slurm_job_id = until_state(client, "forgotten", "running").slurm_job_id
    server.kill()
    gate.touch()
    # MinJobAge is looked at every half minute.
    eventually(lambda: not cluster.state(slurm_job_id), "the controller to forget the job", timeout=90)
    server.start()
    with server.client() as client:
        job = client.wait("forgotten", timeout=90)
        assert (job.state, job.exit_code, job.attempt) == ("failed", 7, 1), job
