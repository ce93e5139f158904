"""The wall clock is set, forwards and back, while the server works."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from eventually import eventually
from jobs import assert_gapless, history, occupy
from server import Server

from dspy_orchestrator import JobState, RetryPolicy

HOUR = 3600


class Clock:
    """The server's wall clock; its monotonic one goes on as it is."""

    def __init__(self, directory: Path) -> None:
        library = directory / "wall_clock.so"
        source = Path(__file__).with_name("wall_clock.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
        self._offset = directory / "clock"
        self._offset.write_bytes(bytes(8))
        self.environment = {"LD_PRELOAD": str(library), "WALL_CLOCK_OFFSET": str(self._offset)}

    def set(self, seconds: int) -> None:
        # In place: the server has the file mapped.
        with self._offset.open("r+b") as file:
            file.write(seconds.to_bytes(8, sys.byteorder, signed=True))


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


@pytest.fixture
def timed_server(tmp_path: Path, clock: Clock) -> Iterator[Server]:
    made = Server(tmp_path, **clock.environment)
    yield made.start()
    made.close()


@pytest.mark.parametrize("jump", [HOUR, -HOUR, -24 * HOUR])
def test_work_goes_on_across_a_jump(timed_server: Server, clock: Clock, jump: int) -> None:
    server = timed_server
    with server.client() as client:
        blockers = occupy(client)
        retried = client.submit(
            ["sh", "-c", "exit 3"],
            job_id="retried",
            retry=RetryPolicy(max_attempts=2, initial_backoff=8),
        )
        eventually(lambda: client.status(retried.job_id).attempt == 1, "the first attempt")
        limited = client.submit(["sleep", "60"], job_id="limited", timeout=8)
        waiting = client.submit(["true"], job_class="cpu_long", job_id="waiting")
        eventually(lambda: client.status(limited.job_id).state is JobState.RUNNING, "the limited job under way")
        eventually(lambda: client.status(retried.job_id).state is JobState.QUEUED, "the job that waits for its retry")
        # The server looks at both, and would give up the half after 2 s.
        pending = server.queue / "pending"
        half, seen = pending / "half.json", pending / "seen.json"
        half.write_text('{"id": "half", ')
        seen.write_text(json.dumps({"id": "seen", "payload": {"command": ["true"]}}))
        eventually(lambda: not seen.exists(), "the server's look at both")

        clock.set(jump)
        # A jump forwards makes no half-written file an old one.
        half.write_text(json.dumps({"id": "half", "payload": {"command": ["true"]}}))
        since = time.monotonic()
        job = client.wait(client.submit(["true"]).job_id, timeout=30)
        assert job.state is JobState.SUCCEEDED
        assert job.submitted_at is not None
        assert abs(job.submitted_at.timestamp() - time.time() - jump) < HOUR / 2, "stamps follow the wall clock"
        assert server.done_file("half", timeout=30)["status"] == "completed"
        job = client.wait("retried", timeout=30)
        assert (job.state, job.attempt) == (JobState.FAILED, 2)
        assert client.wait("limited", timeout=30).failure_reason == "timeout"
        for blocker in blockers:
            client.cancel(blocker.job_id)
        job = client.wait(waiting.job_id, timeout=30)
        assert job.state is JobState.SUCCEEDED
        assert time.monotonic() - since < 90
        log = history(client, job.last_sequence)
    assert_gapless(log)
    assert json.loads(server.request("/health").body)["status"] == "healthy"
