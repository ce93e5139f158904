"""What the machine says of itself and of a process: cores, CPU time, memory."""

import os
import pathlib
import platform
import re
import shutil
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
RESULTS = ROOT / "bench" / "results"
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE = ["taskset", "-c", str(CORES[0])]
LOAD_CORE = ["taskset", "-c", str(CORES[-1])]
TICK = os.sysconf("SC_CLK_TCK")


def need(program: str, package: str) -> str:
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/bin")
    if found is None:
        sys.exit(f"bench: {program} is missing; install it: apt-get install {package}")
    return found


def described(is_pinned: bool = True) -> str:
    model = re.search(r"model name\s*:\s*(.+)", pathlib.Path("/proc/cpuinfo").read_text())
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    shared = "one core for both" if len(CORES) < 2 else "server on one, load on another" if is_pinned else "none pinned"
    return (
        f"{len(CORES)} cores ({shared}) of {model[1].strip() if model else platform.machine()}; "
        f"load averages at the end {load} on {len(CORES)} cores (1, 5, 15 min; the benchmark itself is about 2)"
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_listening(process: subprocess.Popen[str], port: int, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None:
                sys.exit(f"bench: {process.args} ended with {process.returncode} before it listened")
            if time.monotonic() > deadline:
                sys.exit(f"bench: nothing listens on 127.0.0.1:{port} after {seconds:.0f} s")
            time.sleep(0.02)


def cpu_seconds(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def resident_kib(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0
