"""What the tests of all sinks ask the server."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families
from server import Server

from dspy_orchestrator import Client


def run(client: Client, count: int, prefix: str) -> int:
    """Runs jobs to their end and returns the last sequence."""
    for number in range(count):
        client.submit(["true"], job_id=f"{prefix}-{number}")
    return max(client.wait(f"{prefix}-{number}", timeout=60).last_sequence for number in range(count))


def metric(server: Server, name: str, sink: str, **labels: str) -> float:
    wanted = {"sink": sink, **labels}
    return sum(
        float(sample.value)
        for family in text_string_to_metric_families(server.request("/metrics").text)
        for sample in family.samples
        if sample.name == name and wanted.items() <= sample.labels.items()
    )


def caught_up(server: Server, sink: str) -> Callable[[], bool]:
    return lambda: metric(server, "orchestrator_sink_lag_events", sink) == 0


def health(server: Server, sink: str) -> dict[str, str]:
    check = server.request("/health").json["checks"][f"sink_{sink}"]
    assert isinstance(check, dict)
    return check
