"""A database file that something else has damaged."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from server import Server

from dspy_orchestrator import JobState


def noise_at_the_head(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(os.urandom(4096))


def another_file(path: Path) -> None:
    path.write_text("not a database\n" * 1000)


def half_of_it(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def a_page_of_jobs(path: Path) -> None:
    """Noise where the jobs are: the head says nothing of it."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        (root,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'jobs'").fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(os.urandom(size))


@pytest.mark.parametrize("damage", [noise_at_the_head, another_file, half_of_it, a_page_of_jobs])
def test_a_damaged_database_is_refused_with_its_name_and_the_way_out(
    server: Server, damage: Callable[[Path], None]
) -> None:
    with server.client() as client:
        for number in range(200):
            client.submit(["true"], job_id=f"job-{number}", labels={"pad": "x" * 200})
    assert server.stop() == 0
    path = server.data / "ledger.sqlite"
    damage(path)

    server.begin()
    assert server.wait(30) == 1
    assert not server.is_ready
    last = server.errors().splitlines()[-1]
    assert f"the ledger {path} is damaged" in last
    assert "restore it from a backup" in last
    assert "move it away" in last

    # The way out that costs the history.
    for name in ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"):
        (server.data / name).unlink(missing_ok=True)
    server.start()
    with server.client() as client:
        assert client.wait(client.submit(["true"]).job_id, timeout=30).state is JobState.SUCCEEDED


def test_a_ledger_of_a_newer_version_is_refused_and_left_alone(server: Server) -> None:
    assert server.stop() == 0
    with contextlib.closing(sqlite3.connect(server.data / "ledger.sqlite")) as database, database:
        database.execute("INSERT INTO grdb_migrations (identifier) VALUES ('99999: from the future')")
    server.begin()
    assert server.wait(30) == 1
    last = server.errors().splitlines()[-1]
    assert str(server.data / "ledger.sqlite") in last
    assert "newer version" in last
