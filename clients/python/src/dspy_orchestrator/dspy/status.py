"""What ``dspy.streamify`` tells a user while jobs run."""

from __future__ import annotations

import json
from typing import Any

from dspy.streaming import StatusMessageProvider

from dspy_orchestrator.dspy.remote import RemoteModule

_TOOLS = {"submit_job", "job_status", "job_output", "list_jobs", "cancel_job"}


class OrchestratorStatusMessages(StatusMessageProvider):
    """Messages for the orchestrator's tools and for RemoteModule; the others are DSPy's own, or ``fallback``'s."""

    def __init__(self, fallback: StatusMessageProvider | None = None) -> None:
        self._fallback = fallback or StatusMessageProvider()

    def tool_start_status_message(self, instance: Any, inputs: dict[str, Any]) -> Any:
        if instance.name not in _TOOLS:
            return self._fallback.tool_start_status_message(instance, inputs)
        arguments = inputs.get("kwargs", inputs)
        if instance.name == "submit_job":
            return f"Starting a job: {' '.join(map(str, arguments.get('command', ())))[:100]}"
        if instance.name == "list_jobs":
            return "Looking at the jobs"
        doing = {"job_status": "Looking after", "job_output": "Reading the output of", "cancel_job": "Cancelling"}
        return f"{doing[instance.name]} job {arguments.get('job_id', '')}"

    def tool_end_status_message(self, outputs: Any) -> Any:
        told = _told(outputs)
        if told is None:
            return self._fallback.tool_end_status_message(outputs)
        if "job_id" in told and "state" in told:
            return f"Job {told['job_id']} is {told['state']}"
        return f"It didn't work: {told['error']}"

    def module_start_status_message(self, instance: Any, inputs: dict[str, Any]) -> Any:
        if isinstance(instance, RemoteModule):
            return f"Running {type(instance.program).__name__} on the orchestrator"
        return self._fallback.module_start_status_message(instance, inputs)

    def module_end_status_message(self, outputs: Any) -> Any:
        return self._fallback.module_end_status_message(outputs)

    def lm_start_status_message(self, instance: Any, inputs: dict[str, Any]) -> Any:
        return self._fallback.lm_start_status_message(instance, inputs)

    def lm_end_status_message(self, outputs: Any) -> Any:
        return self._fallback.lm_end_status_message(outputs)


def _told(outputs: Any) -> dict[str, Any] | None:
    """What one of the orchestrator's tools answered about one job, or None for anything else."""
    if not isinstance(outputs, str) or not outputs.startswith("{"):
        return None
    try:
        told = json.loads(outputs)
    except ValueError:
        return None
    return told if {"job_id", "state"} <= told.keys() or told.keys() == {"error"} else None
