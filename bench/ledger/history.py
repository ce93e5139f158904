"""A data directory with a long history, and what a server on it takes to start.

    bench/ledger/history.py 1000000 --executable .build/release/dspy-orchestrator

A server runs one job; its rows are then multiplied, so that they are what that server writes, whatever its schema. The
copies are spread over the last day. Prints the time to the ready line and the resident memory, on the small directory
and on the large one.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path


class Served:
    """A server on free ports; ready when made."""

    def __init__(self, executable: Path, directory: Path) -> None:
        places = [f"--{name}-dir={directory / name}" for name in ("data", "queue", "log")]
        started = time.monotonic()
        self.process = subprocess.Popen(
            [executable, "serve", "--rpc-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0", *places],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.seconds = time.monotonic() - started
        if not line.startswith("ready"):
            raise SystemExit(f"the server did not start: {line!r}")

    def rss_mib(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) / 1024

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def run_one_job(executable: Path, directory: Path) -> None:
    served = Served(executable, directory)
    task = directory / "queue/pending/seed.json"
    task.write_text('{"id": "seed", "payload": {"command": ["true"]}}')
    done = directory / "queue/done/seed.json"
    while not done.exists():
        time.sleep(0.01)
    served.stop()


def multiply(file: Path, jobs: int) -> None:
    """Copies the one job and its three events `jobs` times, with numbers and sequences of their own."""
    database = sqlite3.connect(file)
    database.execute("PRAGMA synchronous = OFF")
    columns = {
        table: [row[1] for row in database.execute(f"PRAGMA table_info({table})")] for table in ("jobs", "events")
    }
    last = database.execute("SELECT max(sequence) FROM events").fetchone()[0]
    age = f"(({jobs} - n) * 86400000000000 / {jobs})"
    copies = f"WITH RECURSIVE copy(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copy WHERE n < {jobs})"

    def insert(table: str, values: dict[str, str]) -> None:
        names = columns[table]
        chosen = ", ".join(values.get(name, name) for name in names)
        seed = f"SELECT * FROM {table} ORDER BY 1 LIMIT {last if table == 'events' else 1}"
        database.execute(
            f"{copies} INSERT INTO {table} ({', '.join(names)}) SELECT {chosen} FROM copy, ({seed}) ORDER BY n, 1"
        )

    moved = f"+ n * {last}"
    events = {
        "sequence": f"sequence {moved}",
        "job": f"job {moved}",
        "job_id": "job_id || '-' || n",
        "time": f"time - {age}",
    }
    insert("events", events)
    times = {name: f"{name} - {age}" for name in ("submitted_at", "started_at", "finished_at")}
    insert(
        "jobs", {"number": f"number {moved}", "last_sequence": f"last_sequence {moved}", "id": "id || '-' || n"} | times
    )
    state = database.execute("SELECT state FROM jobs LIMIT 1").fetchone()[0]
    database.execute("UPDATE totals SET jobs = jobs + ? WHERE state = ?", (jobs, state))
    database.execute("UPDATE kept SET value = value + ? WHERE name IN ('ended_jobs', 'outputs')", (jobs,))
    end = database.execute("SELECT max(sequence) FROM events").fetchone()[0]
    database.execute("UPDATE cursors SET sequence = ?", (end,))
    database.commit()
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("jobs", type=int, help="finished jobs to put on the disk")
    parser.add_argument("--executable", type=Path, default=Path(".build/release/dspy-orchestrator"))
    parser.add_argument("--directory", type=Path, help="kept afterwards; a temporary one otherwise")
    options = parser.parse_args()
    directory = options.directory or Path(tempfile.mkdtemp(prefix="history-"))
    directory.mkdir(parents=True, exist_ok=True)
    try:
        run_one_job(options.executable, directory)
        for jobs in (1, options.jobs):
            if jobs > 1:
                multiply(directory / "data/ledger.sqlite", jobs)
            served = Served(options.executable, directory)
            # What a start does in the background settles.
            time.sleep(3)
            size = (directory / "data/ledger.sqlite").stat().st_size / (1 << 20)
            print(f"{jobs} jobs, {size:.0f} MiB: ready in {served.seconds:.2f} s, {served.rss_mib():.0f} MiB resident")
            served.stop()
    finally:
        if options.directory is None:
            shutil.rmtree(directory)


if __name__ == "__main__":
    main()
