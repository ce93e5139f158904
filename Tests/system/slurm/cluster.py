"""A real Slurm cluster on this machine, started by ``scripts/slurm-up``."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from eventually import eventually
from server import ROOT


class Cluster:
    def __init__(self, **shape: str) -> None:
        # A short path, for the sockets in it, and open to munge's clients.
        self.directory = Path(tempfile.mkdtemp(prefix="slurm-"))
        self.directory.chmod(0o755)
        self.port = _free_ports()
        self.shape = shape
        self.conf = self.directory / "etc/slurm.conf"

    def up(self) -> Cluster:
        shape = {f"SLURM_UP_{name.upper()}": value for name, value in self.shape.items()}
        environment = os.environ | {"SLURM_UP_PORT": str(self.port)} | shape
        done = subprocess.run(
            [ROOT / "scripts/slurm-up", self.directory], env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return self

    def close(self) -> None:
        subprocess.run([ROOT / "scripts/slurm-down", self.directory], check=True, timeout=180)
        shutil.rmtree(self.directory, ignore_errors=True)

    def run(self, *command: str, check: bool = True) -> str:
        done = subprocess.run(
            command, env=os.environ | {"SLURM_CONF": str(self.conf)}, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0 or not check, f"{command}: {done.stderr}"
        return done.stdout.strip()

    def state(self, slurm_job_id: str) -> str:
        """Slurm's own word."""
        return self.run("squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={slurm_job_id}", check=False)

    def names(self) -> list[str]:
        """The name of every batch job that the controller knows, ended ones among them."""
        return self.run("squeue", "--noheader", "--states=all", "--format=%j").split()

    def forget_everything(self) -> None:
        """Cancels all jobs, and waits until the nodes are free."""
        self.run("scancel", f"--user={os.getuid()}")
        busy = ("squeue", "--noheader", "--states=PD,R,S,CG,CF")
        eventually(lambda: not self.run(*busy), "an empty queue", 90)

    def daemon(self, name: str) -> int:
        """The pid of one of its daemons."""
        return int((self.directory / f"run/{name}.pid").read_text())

    def is_up(self) -> bool:
        """Whether all that it was started with lives."""
        names = {"munged", "slurmctld", "slurmd-n1", "slurmd-n2"}
        if self.shape.get("accounting") != "0":
            names |= {"mariadb", "slurmdbd"}
        return all((self.directory / f"run/{name}.pid").exists() and _is_alive(self.daemon(name)) for name in names)

    def stop(self, name: str) -> None:
        """One of its daemons; ``up`` brings it back."""
        pid = self.daemon(name)
        os.kill(pid, 15)
        eventually(lambda: not _is_alive(pid), f"{name} to end")


def _free_ports() -> int:
    """The first of thirty ports that nobody listens on."""
    for first in range(20_000, 30_000, 50):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first + 15, first + 30):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
    raise AssertionError("no thirty free ports")


def _is_alive(pid: int) -> bool:
    try:
        return not re.search(r"^State:\s+Z", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return False
