"""The ledger is the one place on a disk that a submission needs.

SQLite may undo a statement of many rows with a file of its own in /var/tmp or /tmp, which jobs can fill, and which a
container may not have: then submissions would be refused, or the server stop, with the ledger's disk well.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from disk import tracing
from server import Server

from dspy_orchestrator.v1 import orchestrator_pb2 as pb


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, "--cpu-long-limit", "1").start()
    yield server
    server.close()


def test_submissions_write_nothing_but_the_ledger(server: Server, tmp_path: Path) -> None:
    stub = server.stub()

    def submit(ids: list[str], payload: bytes) -> None:
        jobs = [pb.SubmitJobRequest(job_id=each, job_class=pb.JOB_CLASS_CPU_LONG, payload=payload) for each in ids]
        results = stub.SubmitJobs(pb.SubmitJobsRequest(jobs=jobs), timeout=60).results
        assert not [result.error for result in results if result.HasField("error")]

    # The others wait behind it.
    submit(["first"], b'{"command":["sleep","600"]}')
    opened = tmp_path / "opened"
    with tracing(server.pid, "openat", opened):
        # Ids in no order reach into as many pages of their index as there are.
        for _ in range(25):
            submit([str(uuid.uuid4()) for _ in range(1_000)], b'{"command":["true"]}')
        with server.client() as client:
            client.submit(["true"], job_id="traced", job_class="cpu_short")
            client.wait("traced", timeout=60)
    assert "/traced/1/payload.json" in opened.read_text(), "nothing was traced"
    assert "etilqs" not in opened.read_text()
