"""The disk says that it could not write, or could not keep, what the ledger gave it.

After a failed fsync nobody knows what is on the disk, and the kernel calls the pages clean all the same (fsync(2),
"fsyncgate"): the server must not go on as if a second attempt told the truth. It stops, and the next start writes
everything again that it finds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from disk import failing, strace
from eventually import eventually
from jobs import shell
from load import Load, assert_nothing_lost
from processes import is_alive
from server import Server

from dspy_orchestrator import JobState
from dspy_orchestrator.v1 import orchestrator_pb2 as pb


@pytest.mark.parametrize("calls", ["fsync,fdatasync", "pwrite64"])
def test_an_error_of_the_disk_stops_the_server_and_costs_nothing_acknowledged(
    server: Server, tmp_path: Path, calls: str
) -> None:
    up, go = tmp_path / "up", tmp_path / "go"
    load = Load(server, tmp_path / "marks")
    log = server.data / "ledger.sqlite-wal"
    with server.client() as client:
        client.submit(
            shell(f"echo $$ > {up}; until test -e {go}; do sleep 0.05; done; echo __DSPY_RESULT__:42"),
            job_id="goes-on",
            job_class="cpu_long",
        )
    command = int(eventually(lambda: up.read_text() if up.exists() else "", "the job under way"))
    with load.running(files=5):
        eventually(lambda: len(load.acknowledged) >= 30, "a burst under way")
        with failing(server.pid, calls, log):
            assert server.wait(60) == 1
    assert "ledger.sqlite" in server.errors().splitlines()[-1]
    assert "start it again" in server.errors().splitlines()[-1]
    answers = [error for error in load.refusals if "ledger.sqlite" in (error.details() or "")]
    assert all(error.code() is grpc.StatusCode.UNAVAILABLE for error in answers), answers

    assert is_alive(command)
    server.start()
    with server.client() as client:
        assert client.status("goes-on").state is JobState.RUNNING
        assert is_alive(command)
        go.touch()
        job = client.wait("goes-on", timeout=60)
        assert (job.state, job.result, job.attempt) == (JobState.SUCCEEDED, 42, 1)
        assert_nothing_lost(server, client, load)


def test_a_job_whose_fsync_failed_is_not_acknowledged_and_may_be_sent_again(server: Server) -> None:
    log = server.data / "ledger.sqlite-wal"
    with failing(server.pid, "fsync,fdatasync", log):
        error: Any = None
        try:
            server.stub().SubmitJob(pb.SubmitJobRequest(job_id="in-doubt", payload=b'{"command":["true"]}'), timeout=20)
        except grpc.RpcError as refusal:
            error = refusal
        assert error is not None, "acknowledged without an fsync"
        assert server.wait(60) == 1
    server.start()
    stub = server.stub()
    # Whether it was kept or not, the same submission again is the same job.
    answer = stub.SubmitJob(pb.SubmitJobRequest(job_id="in-doubt", payload=b'{"command":["true"]}'), timeout=20)
    with server.client() as client:
        assert client.wait(answer.job.job_id, timeout=60).state is JobState.SUCCEEDED


def test_a_disk_that_fails_while_the_server_starts_is_named(server: Server) -> None:
    with server.client() as client:
        client.submit(["true"], job_id="there")
    server.kill()
    # Something to be written again.
    assert (server.data / "ledger.sqlite-wal").stat().st_size > 0
    server.prefix = strace("fsync,fdatasync", server.data / "ledger.sqlite", "-o", "/dev/null")
    server.begin()
    assert server.wait(60) == 1
    assert f"the ledger {server.data / 'ledger.sqlite'} can't be read or written" in server.errors()
    # Nothing of what was acknowledged is gone for it.
    server.prefix = []
    server.start()
    with server.client() as client:
        assert client.wait("there", timeout=60).state is JobState.SUCCEEDED
