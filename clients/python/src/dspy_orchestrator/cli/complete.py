"""What the shell offers when Tab is pressed: never an error, never a long wait."""

from __future__ import annotations

from itertools import islice

from dspy_orchestrator.client import Client
from dspy_orchestrator.errors import OrchestratorError
from dspy_orchestrator.model import JobClass, JobState


def jobs(incomplete: str) -> list[str]:
    """Ids of the newest jobs that begin so."""
    try:
        with Client(timeout=1.0) as client:
            found = (job.job_id for job in islice(client.list(page_size=200), 200))
            return [job_id for job_id in found if job_id.startswith(incomplete)]
    except OrchestratorError:
        return []


def job_classes(incomplete: str) -> list[str]:
    return [word.value for word in JobClass if word is not JobClass.UNKNOWN and word.value.startswith(incomplete)]


def states(incomplete: str) -> list[str]:
    return [word.value for word in JobState if word is not JobState.UNKNOWN and word.value.startswith(incomplete)]
