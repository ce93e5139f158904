"""Memory follows live work, not history. `bench/history` shows the same with a million jobs."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

import pytest
from long_history import multiply
from server import Server

from dspy_orchestrator import JobState

SHORT, LONG = 20_000, 120_000
"""Jobs. Both are more than what is kept in memory for those who ask for recent ones."""

GROWTH_BYTES = 24 << 20
"""Between the two, at most; a hundred thousand jobs in memory would be ten times as much."""


def peak_bytes(server: Server) -> int:
    match = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{server.pid}/status").read_text(), re.MULTILINE)
    assert match is not None
    return int(match[1]) * 1024


def peak_with(directory: Path, jobs: int) -> int:
    directory.mkdir()
    server = Server(directory)
    try:
        server.start()
        with server.client() as client:
            last = client.wait(client.submit(["true"], job_id="seed").job_id, timeout=30).last_sequence
        assert server.stop() == 0
        multiply(server.data / "ledger.sqlite", jobs)
        server.start()
        with server.client() as client:
            # The history can be asked for all that: one job, a page of jobs, and a piece of the log.
            for number in (1, jobs // 2, jobs):
                assert client.status(f"seed-{number}").state is JobState.SUCCEEDED
            newest = next(iter(client.list())).job_id
            assert newest == f"seed-{jobs}"
            with client.events(timeout=60) as events:
                assert [event.sequence for event in islice(events, 30_000)] == list(range(1, 30_001))
            with client.events(job_ids=["seed-7"], end_when_done=True, timeout=30) as events:
                assert [event.sequence for event in events] == [last * 7 + place for place in range(1, last + 1)]
            job = client.wait(client.submit(["true"], job_id="next").job_id, timeout=30)
            assert job.state is JobState.SUCCEEDED
            assert client.metrics().value("orchestrator_ended_jobs_kept") == jobs + 2
        return peak_bytes(server)
    finally:
        server.close()


@pytest.mark.timeout(300)
def test_a_long_history_costs_no_memory(tmp_path: Path) -> None:
    short = peak_with(tmp_path / "short", SHORT)
    long = peak_with(tmp_path / "long", LONG)
    assert long - short < GROWTH_BYTES, f"{short >> 20} MiB with {SHORT} jobs, {long >> 20} MiB with {LONG}"
