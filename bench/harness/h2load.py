"""One burst of unary calls by h2load."""

import pathlib
import re
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

from harness.machine import LOAD_CORE, need
from harness.servers import Server


@dataclass(frozen=True)
class Burst:
    """Calls a second, the server's CPU time of one call, the time a call took as the client saw it (µs), and h2load's
    share of its own core: close to 1, and the rate is the client's rather than the server's."""

    rate: float
    cpu_micros: float
    mean_micros: float
    client_share: float
    median_micros: float | None = None


def micros(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]


def children_seconds() -> float:
    """CPU time of the children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def burst(server: Server, requests: int, connections: int, streams: int, log: pathlib.Path | None = None) -> Burst:
    """`log`: where h2load may write a line for each call, for the median."""
    program = need("h2load", "nghttp2-client")
    command = [program, "-n", str(requests), "-c", str(connections), "-m", str(streams), "-t", "1", *server.arguments]
    if log is not None:
        log.unlink(missing_ok=True)
        command += ["--log-file", str(log)]
    before, mine, began = server.cpu_seconds, children_seconds(), time.monotonic()
    printed = subprocess.run([*LOAD_CORE, *command, server.url], check=True, capture_output=True, text=True).stdout
    cpu = server.cpu_seconds - before
    share = (children_seconds() - mine) / (time.monotonic() - began)
    if f"{requests} succeeded, 0 failed" not in printed:
        sys.exit(f"bench: {server.name} did not answer every request:\n{printed}")
    rate = re.search(r"([\d.]+) req/s", printed)
    times = re.search(r"time for request:\s+\S+\s+\S+\s+(\S+)", printed)
    assert rate is not None
    assert times is not None
    median = None
    if log is not None:
        median = statistics.median(int(line.split()[2]) for line in log.read_text().splitlines())
    return Burst(float(rate[1]), cpu / requests * 1e6, micros(times[1]), share, median)
