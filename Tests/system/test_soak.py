"""Many short jobs in a row: nothing is left behind, and nothing grows with them.

What the server keeps in memory of jobs and events on purpose is bounded by settings. They are small here, so that all
of it is full after the first half, and the second adds nothing, however many jobs that is.

DSPY_SOAK_JOBS is their number, 1,000 unless said otherwise; 20,000 take a minute and a half on two cores.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from eventually import eventually
from server import ROOT, Server

JOBS = int(os.environ.get("DSPY_SOAK_JOBS") or 1000)

# Full within 500 jobs, each of which has three events and about 3 KiB in the ledger.
CACHES = ("--cache-jobs", "200", "--cache-events", "1024", "--cache-ledger-bytes", "1MiB")

# The first thousand jobs still warm up threads, connections and the allocator, some 4 MiB. After that 10,000 jobs may
# leave no more than 300 bytes each.
SLACK = (3 if JOBS >= 10_000 else 6) << 20

CONFIGURATION = """
handlers:
  worker:
    command: [{python}, -m, dspy_orchestrator.worker, "builtins:dict"]
    mode: worker
    max_tasks: 500
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    supervisor = tmp_path / "dspy-job-supervisor"
    # Starting SwiftPM's would be most of the time.
    subprocess.run([str(ROOT / "scripts/build-supervisor"), str(supervisor)], check=True)
    file = tmp_path / "dspy.yaml"
    file.write_text(CONFIGURATION.format(python=sys.executable))
    made = Server(tmp_path, "--supervisor", str(supervisor), "--config", str(file), *CACHES).start()
    yield made
    made.close()


class Footprint:
    """What a server and its children hold."""

    def __init__(self, server: Server) -> None:
        self.memory = anonymous_bytes(server.pid)
        self.descriptors = len(os.listdir(f"/proc/{server.pid}/fd"))
        self.children = children(server.pid)


def anonymous_bytes(pid: int) -> int:
    """Memory of its own: pages of programs and files come and go as the machine has room."""
    match = re.search(r"^RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert match is not None
    return int(match[1]) * 1024


def children(pid: int) -> int:
    return sum(len(path.read_text().split()) for path in Path(f"/proc/{pid}/task").glob("*/children"))


def run(server: Server, payload: dict[str, object], count: int) -> None:
    with server.client() as client:
        before = done(server)
        for start in range(0, count, 500):
            size = min(500, count - start)
            client.submit_many({"payload": payload, "job_class": "cpu_short"} for _ in range(size))
            eventually(lambda: done(server) >= before + start, "most have ended", 120)  # noqa: B023
        eventually(lambda: done(server) == before + count, "all have ended", 120)


def done(server: Server) -> int:
    return int(server.request("/queue/status").json["completed"])


@pytest.mark.parametrize("payload", [{"command": ["true"]}, {"handler": "worker"}], ids=["process", "worker"])
@pytest.mark.timeout(900)
def test_nothing_grows_with_the_number_of_jobs(server: Server, payload: dict[str, object]) -> None:
    run(server, payload, JOBS // 2)
    # Workers stay.
    idle = 8
    eventually(lambda: children(server.pid) <= idle, "its processes are reaped")
    before = Footprint(server)
    run(server, payload, JOBS - JOBS // 2)
    eventually(lambda: children(server.pid) <= idle, "its processes are reaped")
    after = Footprint(server)
    assert after.descriptors <= before.descriptors + 16
    grown = after.memory - before.memory
    print(f"{JOBS} jobs: {before.memory >> 20} MiB, then {grown / 1024:+,.0f} KiB, {after.descriptors} descriptors")
    assert grown <= SLACK
