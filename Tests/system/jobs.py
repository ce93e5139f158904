"""What the tests ask for again and again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from eventually import eventually

from dspy_orchestrator import Client, Event, JobClass, JobHandle

TERMINAL = {"task_completed", "task_failed", "task_cancelled"}


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


def result_line(json: str) -> list[str]:
    """A command whose result is this JSON, told on its standard output."""
    return ["printf", "__DSPY_RESULT__:%s\\n", json]


def occupy(client: Client, job_class: str = "cpu_long") -> list[JobHandle]:
    """Fills a class with jobs that do nothing for long, so that the next ones stay queued."""
    limit = client.metrics().classes[JobClass(job_class)].concurrency_limit
    jobs = [
        client.submit(["sleep", "600"], job_class=job_class, job_id=f"occupies-{number}") for number in range(limit)
    ]
    eventually(lambda: all(client.status(job.job_id).state == "running" for job in jobs), f"{limit} jobs running")
    return jobs


def assert_gapless(events: Iterable[Event], first: int = 1) -> None:
    sequences = [event.sequence for event in events]
    assert sequences == list(range(first, first + len(sequences)))


def assert_each_ended_once(events: Iterable[Event], job_ids: Iterable[str]) -> None:
    """Every job was submitted once, started at most once an attempt, and ended once."""
    # task_started and task_retrying come once an attempt, the others once a job.
    counts = Counter(
        (event.job_id, "ended")
        if event.type in TERMINAL
        else (event.job_id, f"{event.type} {event.attempt}" if event.attempt else event.type)
        for event in events
    )
    assert not {key: count for key, count in counts.items() if count > 1}
    assert not [job_id for job_id in job_ids for kind in ("task_submitted", "ended") if (job_id, kind) not in counts]


def history(client: Client, last: int) -> list[Event]:
    """Every event from the first to ``last``."""
    seen = []
    with client.events(timeout=60) as events:
        for event in events:
            seen.append(event)
            if event.sequence >= last:
                break
    return seen
