"""Batch jobs, as the tests hand them in."""

from __future__ import annotations

from typing import Any

from eventually import eventually

from dspy_orchestrator import Client, Job, JobHandle, RetryPolicy


def submit(
    client: Client, command: list[str], name: str, *, retry: RetryPolicy | None = None, **slurm: Any
) -> JobHandle:
    payload = {"command": command, "slurm": slurm}
    return client.submit(payload=payload, job_class="gpu_slurm", job_id=name, retry=retry)


def until_state(client: Client, name: str, state: str) -> Job:
    """The job once it is in that state."""

    def look() -> Job | None:
        job = client.status(name)
        return job if job.state == state else None

    return eventually(look, f"{name} {state}", 90)  # type: ignore[return-value]
