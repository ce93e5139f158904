"""A concurrent.futures.Executor whose pool is the server's runners."""

from __future__ import annotations

import concurrent.futures
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from dspy_orchestrator import functions, wire
from dspy_orchestrator.client import Client
from dspy_orchestrator.errors import OrchestratorError
from dspy_orchestrator.handle import JobHandle
from dspy_orchestrator.model import JobClass, Resources, RetryPolicy, Slurm
from dspy_orchestrator.requests import JobSpec

T = TypeVar("T")


class OrchestratorExecutor(concurrent.futures.Executor):
    """Runs functions as jobs: ``submit`` and ``map`` as in the standard library, with JobHandles for Futures.

    A function must be importable by name where the job runs, and its arguments and result must have a JSON form. An
    exception there is a JobFailed here, whose ``remote_error`` has its type, message and traceback.

    ``handler`` names a warm worker of the server's configuration that runs
    ``python -m dspy_orchestrator.worker dspy_orchestrator.functions:call``. Without one, each call starts a process:
    ``python`` is the command that does so on the server's machine, this very interpreter unless said otherwise. The
    other parameters are those of ``Client.submit``. Closing the executor does not close the client.
    """

    def __init__(
        self,
        client: Client,
        *,
        handler: str | None = None,
        python: Sequence[str] = (sys.executable,),
        job_class: JobClass | str | None = None,
        labels: Mapping[str, str] | None = None,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        resources: Resources | None = None,
        slurm: Slurm | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
    ) -> None:
        self._client = client
        self._options: dict[str, Any] = {
            "handler": handler,
            "command": None if handler else [*python, "-m", "dspy_orchestrator.worker", "--once", functions.CALL],
            "job_class": job_class,
            "labels": labels,
            "timeout": timeout,
            "retry": retry,
            "resources": resources,
            "slurm": slurm,
            "env": env,
            "cwd": cwd,
        }
        self._submitted: set[JobHandle] = set()
        self._shut_down = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> JobHandle:
        """Has ``fn(*args, **kwargs)`` run as a job. Raises InvalidArgument for what has no name or no JSON form."""
        self._check()
        job = JobHandle(self._client, self._client.accept(self._spec(functions.name(fn), args, kwargs)))
        self._keep(job)
        return job

    def map(
        self, fn: Callable[..., T], *iterables: Iterable[Any], timeout: float | None = None, chunksize: int = 1
    ) -> Iterator[T]:
        """The results of ``fn`` over the iterables, in their order. All is submitted at once, many jobs a call.

        ``chunksize`` is there for the standard library's sake: each call of ``fn`` is a job of its own.
        """
        self._check()
        deadline = None if timeout is None else time.monotonic() + timeout
        name = functions.name(fn)
        jobs = self._client.submit_many(self._spec(name, args, {}) for args in zip(*iterables))  # noqa: B905
        accepted = [job for job in jobs if isinstance(job, JobHandle)]
        for job in accepted:
            self._keep(job)

        def results() -> Iterator[T]:
            try:
                for job in jobs:
                    if isinstance(job, OrchestratorError):
                        raise job
                    yield job.result(None if deadline is None else max(0.0, deadline - time.monotonic()))
            finally:
                for job in accepted:
                    if job in self._submitted:
                        job.cancel("its results are no longer wanted")

        return results()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more calls. ``wait`` returns once all have ended; ``cancel_futures`` has them cancelled."""
        self._shut_down = True
        pending = list(self._submitted)
        if cancel_futures:
            for job in pending:
                job.cancel("the executor was shut down")
        if wait:
            concurrent.futures.wait(pending)

    def _spec(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> JobSpec:
        # Checked apart from the rest of the payload, so that the message tells what to change.
        wire.encoded([list(args), dict(kwargs)], f"an argument of {name}", "args")
        call = {"function": name, "args": list(args), "kwargs": dict(kwargs)}
        return JobSpec(payload=call, **self._options)

    def _keep(self, job: JobHandle) -> None:
        self._submitted.add(job)
        job.add_done_callback(self._submitted.discard)

    def _check(self) -> None:
        if self._shut_down:
            raise RuntimeError("cannot schedule new futures after shutdown")
