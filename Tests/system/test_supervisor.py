"""The program that stands between the server and each job."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from server import ROOT, Server

from dspy_orchestrator import JobState


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by the C compiler alone."""
    program = tmp_path_factory.mktemp("supervisor") / "dspy-job-supervisor"
    subprocess.run([ROOT / "scripts/build-supervisor", program], check=True)
    return program


def test_jobs_run_under_the_one_that_is_named(stopped_server: Server, small: Path) -> None:
    stopped_server.flags = ("--supervisor", str(small))
    stopped_server.start()
    with stopped_server.client() as client:
        # The job's parent is its supervisor.
        job = client.submit(["sh", "-c", 'echo "__DSPY_RESULT__:\\"$(readlink /proc/$PPID/exe)\\""'])
        ended = client.wait(job.job_id, timeout=30)
    assert (ended.state, ended.result) == (JobState.SUCCEEDED, str(small))


def test_one_that_is_not_there_is_refused_at_the_start(stopped_server: Server) -> None:
    stopped_server.flags = ("--supervisor", "/nowhere/supervisor")
    stopped_server.begin()
    assert stopped_server.wait(30) == 1
    last = stopped_server.errors().splitlines()[-1]
    assert "/nowhere/supervisor" in last
    assert "--supervisor" in last
