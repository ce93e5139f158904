"""Tools with which an agent runs jobs: they answer at once, in compact JSON, and never raise."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Coroutine
from itertools import islice
from typing import Any

import dspy

from dspy_orchestrator.aio import AsyncClient
from dspy_orchestrator.cli.present import took
from dspy_orchestrator.client import Client
from dspy_orchestrator.errors import OrchestratorError
from dspy_orchestrator.model import Job

_ERROR_LIMIT = 500
"""Characters of an error that a model gets to read."""

_TAIL_LIMIT = 4000
"""Bytes of output that a model gets to read."""


def orchestrator_tools(client: Client | AsyncClient) -> list[dspy.Tool]:
    """The tools submit_job, job_status, job_output, list_jobs and cancel_job, for ``dspy.ReAct`` and its like.

    With a Client they are for synchronous programs, with an AsyncClient for ``acall``; DSPy takes neither for the
    other. What goes wrong comes back as ``{"error": …}`` with the cause and what to do, for the model to act on.
    """
    functions: tuple[Callable[..., Any], ...] = (
        _asynchronous(client) if isinstance(client, AsyncClient) else _synchronous(client)
    )
    return [dspy.Tool(function) for function in functions]


def _synchronous(client: Client) -> tuple[Callable[..., str], ...]:
    @_answering
    def submit_job(command: list[str], job_class: str = "cpu_short", timeout_seconds: float = 3600.0) -> str:
        """Start a program as a job and return its id at once. command is a list of words; no shell. job_class is
        cpu_short, cpu_long, gpu or gpu_slurm."""
        job = client.submit(command, job_class=job_class, timeout=timeout_seconds)
        return _text({"job_id": job.job_id, "state": job.state.value})

    @_answering
    def job_status(job_id: str) -> str:
        """Tell how a job is: its state, and its result or error once it has ended."""
        return _text(_status(client.get(job_id)))

    @_answering
    def job_output(job_id: str, stream: str = "stdout") -> str:
        """Return the end of what a job has written so far; stream is stdout or stderr."""
        end = b""
        for chunk in client.logs(job_id, stream=stream):
            end = (end + chunk.data)[-_TAIL_LIMIT:]
        return _text({"job_id": job_id, stream: end.decode(errors="replace")})

    @_answering
    def list_jobs(state: str = "", limit: int = 10) -> str:
        """List the newest jobs. state is queued, submitted, running, succeeded, failed, cancelled, or empty for all."""
        jobs = islice(client.list(states=[state] if state else ()), max(1, min(limit, 50)))
        return _text([_brief(job) for job in jobs])

    @_answering
    def cancel_job(job_id: str, reason: str = "") -> str:
        """Ask a job to end."""
        return _text(_brief(client.cancel(job_id, reason)))

    return submit_job, job_status, job_output, list_jobs, cancel_job


def _asynchronous(client: AsyncClient) -> tuple[Callable[..., Coroutine[Any, Any, str]], ...]:
    @_answering_later
    async def submit_job(command: list[str], job_class: str = "cpu_short", timeout_seconds: float = 3600.0) -> str:
        """Start a program as a job and return its id at once. command is a list of words; no shell. job_class is
        cpu_short, cpu_long, gpu or gpu_slurm."""
        job = await client.submit(command, job_class=job_class, timeout=timeout_seconds)
        return _text({"job_id": job.job_id, "state": job.state.value})

    @_answering_later
    async def job_status(job_id: str) -> str:
        """Tell how a job is: its state, and its result or error once it has ended."""
        return _text(_status(await client.get(job_id)))

    @_answering_later
    async def job_output(job_id: str, stream: str = "stdout") -> str:
        """Return the end of what a job has written so far; stream is stdout or stderr."""
        end = b""
        async for chunk in client.logs(job_id, stream=stream):
            end = (end + chunk.data)[-_TAIL_LIMIT:]
        return _text({"job_id": job_id, stream: end.decode(errors="replace")})

    @_answering_later
    async def list_jobs(state: str = "", limit: int = 10) -> str:
        """List the newest jobs. state is queued, submitted, running, succeeded, failed, cancelled, or empty for all."""
        found: list[Any] = []
        async for job in client.list(states=[state] if state else ()):
            found.append(_brief(job))
            if len(found) >= max(1, min(limit, 50)):
                break
        return _text(found)

    @_answering_later
    async def cancel_job(job_id: str, reason: str = "") -> str:
        """Ask a job to end."""
        return _text(_brief(await client.cancel(job_id, reason)))

    return submit_job, job_status, job_output, list_jobs, cancel_job


def _brief(job: Job) -> dict[str, Any]:
    return {"job_id": job.job_id, "state": job.state.value} | ({"error": job.error} if job.error else {})


def _status(job: Job) -> dict[str, Any]:
    told = _brief(job) | {"ran": took(job), "attempt": job.attempt}
    if job.is_done:
        told |= {"result": job.result, "exit_code": job.exit_code}
    else:
        told["next"] = "not ended yet: ask again later"
    return told


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _error(error: Exception) -> str:
    return _text({"error": " ".join(str(error).split())[:_ERROR_LIMIT]})


def _answering(function: Callable[..., str]) -> Callable[..., str]:
    @functools.wraps(function)
    def answer(*args: Any, **kwargs: Any) -> str:
        try:
            return function(*args, **kwargs)
        except (OrchestratorError, TypeError, ValueError) as error:
            return _error(error)

    return answer


def _answering_later(function: Callable[..., Coroutine[Any, Any, str]]) -> Callable[..., Coroutine[Any, Any, str]]:
    @functools.wraps(function)
    async def answer(*args: Any, **kwargs: Any) -> str:
        try:
            return await function(*args, **kwargs)
        except (OrchestratorError, TypeError, ValueError) as error:
            return _error(error)

    return answer
