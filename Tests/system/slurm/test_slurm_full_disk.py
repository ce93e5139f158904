"""The disk of the jobs' directory is full on the node; that of the ledger is not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from batch import submit, until_state
from cluster import Cluster
from disk import SmallDisk, small_disk
from jobs import shell
from server import Server

from dspy_orchestrator import Client


@pytest.fixture
def disk(stopped_server: Server) -> Iterator[SmallDisk]:
    with small_disk(stopped_server.data / "jobs", 1) as made:
        yield made


@pytest.fixture
def client(disk: SmallDisk, stopped_server: Server) -> Iterator[Client]:
    with stopped_server.start().client() as made:
        yield made


def test_a_job_that_can_write_nothing_fails_rather_than_succeed_unrun(
    client: Client, disk: SmallDisk, cluster: Cluster
) -> None:
    cluster.run("scontrol", "update", "partitionname=main", "state=DOWN")
    try:
        submit(client, ["true"], "unrun")
        until_state(client, "unrun", "submitted")
        disk.fill()
    finally:
        cluster.run("scontrol", "update", "partitionname=main", "state=UP")
    job = client.wait("unrun", timeout=90)
    assert (job.state, job.failure_reason, job.exit_code) == ("failed", "exit_code", 1), job
    assert "left nothing in" in job.error
    assert "disk full" in job.error


@pytest.mark.parametrize(("code", "state"), [(0, "succeeded"), (7, "failed")])
def test_the_end_of_a_job_that_filled_its_disk_is_slurms_word(
    client: Client, disk: SmallDisk, code: int, state: str
) -> None:
    submit(client, shell(f"cat /dev/zero >ballast 2>/dev/null; exit {code}"), "fills")
    job = client.wait("fills", timeout=90)
    assert (job.state, job.exit_code) == (state, code), job
