"""Jobs, events and numbers as text. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from rich.table import Table
from rich.text import Text

from dspy_orchestrator.model import Event, Job, JobState, Metrics

STYLES = {
    JobState.QUEUED: "dim",
    JobState.SUBMITTED: "cyan",
    JobState.RUNNING: "bold blue",
    JobState.SUCCEEDED: "green",
    JobState.FAILED: "bold red",
    JobState.CANCELLED: "yellow",
}


def plain(value: Any) -> Any:
    """Dataclasses, moments and words as what JSON has."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(content) for key, content in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(content) for content in value]
    return value


def duration(seconds: float) -> str:
    """``350ms``, ``12s``, ``3m05s``, ``2h10m``, ``4d02h``."""
    if seconds < 1:
        return f"{max(0, seconds) * 1000:.0f}ms"
    if seconds < 60:
        return f"{seconds:.0f}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h{minutes:02d}m"
    return f"{hours // 24}d{hours % 24:02d}h"


def took(job: Job, now: datetime | None = None) -> str:
    """How long the newest attempt has run; empty until one has started."""
    if job.started_at is None:
        return ""
    return duration(((job.finished_at or now or datetime.now(timezone.utc)) - job.started_at).total_seconds())


def state(of: JobState) -> Text:
    return Text(of.value, STYLES.get(of, ""))


def row(job: Job, now: datetime | None = None) -> tuple[str, ...]:
    return (
        job.job_id,
        job.job_class.value,
        job.state.value,
        str(job.attempt),
        duration(((now or datetime.now(timezone.utc)) - job.submitted_at).total_seconds()),
        took(job, now),
        job.error,
    )


COLUMNS = ("JOB", "CLASS", "STATE", "ATTEMPT", "AGE", "RAN", "ERROR")


def table(jobs: Iterable[Job]) -> Table:
    made = Table(*COLUMNS, box=None, pad_edge=False, header_style="bold")
    for job in jobs:
        job_id, job_class, _, attempt, age, ran, error = row(job)
        made.add_row(job_id, job_class, state(job.state), attempt, age, ran, Text(error, overflow="ellipsis"))
    return made


def details(job: Job) -> Table:
    """One job, whole."""
    made = Table(box=None, pad_edge=False, show_header=False)
    made.add_column(style="bold")
    made.add_column(overflow="fold")
    for name, value in plain(job).items():
        if value in (None, "", {}, 0) and name not in ("exit_code", "attempt"):
            continue
        made.add_row(name.replace("_", " "), state(job.state) if name == "state" else Text(str(value)))
    return made


def event_line(event: Event) -> str:
    """``12  10:03:01.250  task_started  job-7  running  attempt 1``."""
    moment = event.time.astimezone().strftime("%H:%M:%S.%f")[:-3]
    attempt = f"  attempt {event.attempt}" if event.attempt else ""
    return f"{event.sequence}  {moment}  {event.type}  {event.job_id}  {event.state.value}{attempt}"


def classes(metrics: Metrics) -> Table:
    """The classes with their numbers."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    made.add_column("CLASS")
    for name in ("QUEUED", "RUNNING", "LIMIT", "DONE", "FAILED", "CANCELLED", "P50", "P95", "P99"):
        made.add_column(name, justify="right")
    for stats in metrics.classes.values():
        made.add_row(
            stats.job_class.value,
            *map(str, (stats.queue_depth, stats.inflight, stats.concurrency_limit, stats.succeeded)),
            Text(str(stats.failed), "bold red" if stats.failed else ""),
            str(stats.cancelled),
            *(duration(seconds) for seconds in (stats.p50_seconds, stats.p95_seconds, stats.p99_seconds)),
        )
    return made
