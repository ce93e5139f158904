"""Disks that can be filled, and disks that fail."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest


class SmallDisk:
    """A file system of its own, small enough to be filled."""

    def __init__(self, directory: Path) -> None:
        self._ballast = directory / "ballast"

    def fill(self) -> None:
        with self._ballast.open("ab", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                with contextlib.suppress(OSError):
                    while file.write(b"x" * size) == size:
                        pass

    def make_room(self) -> None:
        self._ballast.unlink()


@contextlib.contextmanager
def small_disk(directory: Path, mebibytes: int) -> Iterator[SmallDisk]:
    """Mounts one over the directory; the test is skipped where that is not allowed."""
    directory.mkdir(parents=True, exist_ok=True)
    options = f"size={mebibytes}m,mode=0755"
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)], capture_output=True, text=True
    )
    if mount.returncode != 0:
        pytest.skip(f"may not mount a file system here: {mount.stderr.strip()}")
    try:
        yield SmallDisk(directory)
    finally:
        # Lazily: processes of the test's jobs may have their working directory there.
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def strace_program() -> str:
    program = shutil.which("strace")
    assert program is not None, "no strace: run scripts/setup"
    return program


def strace(calls: str, file: Path, *more: str) -> list[str]:
    """The command by which each of the calls on this file fails with EIO (strace(1))."""
    # Names as the kernel tells them.
    path = os.path.realpath(file)
    return [strace_program(), "-f", "-P", path, "-e", f"trace={calls}", "-e", f"inject={calls}:error=EIO", *more]


@contextlib.contextmanager
def failing(pid: int, calls: str, file: Path) -> Iterator[None]:
    """While the block runs, the process' calls on the file fail."""
    with attached(strace(calls, file, "-p", str(pid))):
        yield


@contextlib.contextmanager
def tracing(pid: int, calls: str, output: Path) -> Iterator[None]:
    """While the block runs, the process' calls are written to a file."""
    with attached([strace_program(), "-f", "-e", f"trace={calls}", "-o", str(output), "-p", str(pid)]):
        yield


@contextlib.contextmanager
def attached(command: list[str]) -> Iterator[None]:
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        first = tracer.stderr.readline()
        if "attached" not in first:
            tracer.wait()
            pytest.skip(f"may not trace a process here: {first.strip()}")
        # A pipe that nobody reads would stop the traced process.
        reader = threading.Thread(target=lambda: [None for _ in tracer.stderr or ()], daemon=True)
        reader.start()
        try:
            yield
        finally:
            tracer.terminate()
            reader.join()
