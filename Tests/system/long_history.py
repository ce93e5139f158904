"""A ledger with a long history, made from a short one."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path


def multiply(ledger: Path, jobs: int) -> None:
    """Adds `jobs` copies of the ledger's first job and of its events, named `<id>-1` and so on, over the last day.

    Rows that a server wrote are copied, so that they are as that server has them, whatever its schema. The ledger must
    be closed and hold one job that has ended.
    """
    with contextlib.closing(sqlite3.connect(ledger)) as database:
        database.execute("PRAGMA synchronous = OFF")
        (job_id, state, submitted) = database.execute("SELECT id, state, number FROM jobs").fetchone()
        (last,) = database.execute("SELECT max(sequence) FROM events").fetchone()
        assert submitted == 1, "the first event is the job's"
        (before,) = database.execute("SELECT count(*) FROM jobs WHERE id LIKE ? || '-%'", (job_id,)).fetchone()
        assert before == 0, "multiplied before"
        age = f"(({jobs} - n) * 86400000000000 / {jobs})"
        moved = f"+ n * {last}"
        _copy(
            database,
            "events",
            jobs,
            last,
            sequence=f"sequence {moved}",
            job=f"job {moved}",
            job_id="job_id || '-' || n",
            time=f"time - {age}",
        )
        times = {name: f"{name} - {age}" for name in ("submitted_at", "started_at", "finished_at")}
        _copy(
            database,
            "jobs",
            jobs,
            1,
            number=f"number {moved}",
            last_sequence=f"last_sequence {moved}",
            id="id || '-' || n",
            **times,
        )
        database.execute("UPDATE totals SET jobs = jobs + ? WHERE state = ?", (jobs, state))
        database.execute("UPDATE kept SET value = value + ? WHERE name IN ('ended_jobs', 'outputs')", (jobs,))
        database.execute("UPDATE cursors SET sequence = (SELECT max(sequence) FROM events)")
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _copy(database: sqlite3.Connection, table: str, copies: int, seed: int, **values: str) -> None:
    """Copies the table's first `seed` rows, with expressions in `n`, from 1, for what differs."""
    columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
    chosen = ", ".join(values.get(name, name) for name in columns)
    database.execute(
        f"WITH RECURSIVE copy(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copy WHERE n < {copies}) "
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {chosen} "
        f"FROM copy, (SELECT * FROM {table} ORDER BY 1 LIMIT {seed}) ORDER BY n, 1"
    )
