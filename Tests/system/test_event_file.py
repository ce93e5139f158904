from __future__ import annotations

from datetime import datetime, timezone

from eventually import eventually
from jobs import history
from server import Server

from dspy_orchestrator import Client


def run(client: Client, count: int, prefix: str) -> int:
    """Runs jobs to their end and returns the last sequence."""
    for number in range(count):
        client.submit(["true"], job_id=f"{prefix}-{number}")
    return max(client.wait(f"{prefix}-{number}", timeout=60).last_sequence for number in range(count))


def test_every_event_is_a_line_in_order_with_the_contracts_keys(server: Server, client: Client) -> None:
    last = run(client, 20, "job")
    eventually(lambda: len(server.logged_events()) >= last, f"{last} lines")
    lines = server.logged_events()
    assert [line["sequence"] for line in lines] == list(range(1, last + 1))
    for line, event in zip(lines, history(client, last), strict=True):
        assert set(line) == {"sequence", "type", "timestamp", "data", "source"}
        assert (line["type"], line["source"], line["data"]) == (event.type, event.source, event.data)
        assert line["data"]["task_id"] == event.job_id
        moment = datetime.fromisoformat(line["timestamp"].split(".")[0].removesuffix("Z")).replace(tzinfo=timezone.utc)
        assert abs((moment - event.time).total_seconds()) <= 1


def test_the_file_goes_on_where_it_was_after_a_stop(server: Server, client: Client) -> None:
    run(client, 5, "before")
    assert server.stop() == 0
    server.start()
    last = run(client, 5, "after")
    eventually(lambda: len(server.logged_events()) >= last, f"{last} lines")
    assert [line["sequence"] for line in server.logged_events()] == list(range(1, last + 1))


def test_a_crash_costs_no_line(server: Server, client: Client) -> None:
    run(client, 5, "before")
    server.kill()
    server.start()
    last = run(client, 5, "after")
    eventually(
        lambda: {line["sequence"] for line in server.logged_events()} >= set(range(1, last + 1)), "every sequence"
    )
