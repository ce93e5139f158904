"""Other processes, as /proc shows them."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def end_processes_under(directory: Path) -> None:
    """Kills what the jobs of a server on this directory left: their environment names files of its data directory."""
    needle = f"={directory}/".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            started_here = needle in (entry / "environ").read_bytes()
            supervises_here = f"{directory}/".encode() in (entry / "cmdline").read_bytes()
            if started_here or supervises_here:
                os.kill(int(entry.name), signal.SIGKILL)
