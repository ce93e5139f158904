"""A submitted job as a Future."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dspy_orchestrator.errors import DeadlineExceeded, OrchestratorError
from dspy_orchestrator.logs import LogStream
from dspy_orchestrator.model import Job, JobClass, JobState
from dspy_orchestrator.stream import EventStream

if TYPE_CHECKING:
    from dspy_orchestrator.client import Client


class JobHandle(concurrent.futures.Future[Any]):
    """One job of one client: a ``concurrent.futures.Future`` of the job's result.

    Whatever takes Futures takes it, ``concurrent.futures.wait`` and ``asyncio.wrap_future`` among them. Its end is
    told by the server's events, one stream for all handles of a client; nothing polls. The properties say how the job
    was when it was submitted or last asked for; ``status()`` asks.
    """

    def __init__(self, client: Client, job: Job) -> None:
        self._client = client
        self._job = job
        self._watched_by = 0
        self._watchers: list[Any] = []
        super().__init__()
        if job.is_done:
            self.settle(job)

    @property
    def job(self) -> Job:
        """The job as it was when last heard of."""
        return self._job

    @property
    def job_id(self) -> str:
        return self._job.job_id

    @property
    def job_class(self) -> JobClass:
        return self._job.job_class

    @property
    def state(self) -> JobState:
        return self._job.state

    @property
    def attempt(self) -> int:
        return self._job.attempt

    @property
    def error(self) -> str:
        return self._job.error

    @property
    def submitted_at(self) -> datetime:
        return self._job.submitted_at

    @property
    def payload(self) -> Mapping[str, Any]:
        return self._job.payload

    @property
    def labels(self) -> Mapping[str, str]:
        return self._job.labels

    @property
    def priority(self) -> int:
        return self._job.priority

    @property
    def slurm_job_id(self) -> str:
        return self._job.slurm_job_id

    @property
    def last_sequence(self) -> int:
        return self._job.last_sequence

    def status(self) -> Job:
        """The job as it is now."""
        job = self._client.get(self.job_id)
        if job.is_done:
            self.settle(job)
        else:
            self._job = job
        return job

    def result(self, timeout: float | None = None) -> Any:
        """What the job left as its result, once it has ended.

        Raises JobFailed or JobCancelled, and DeadlineExceeded after ``timeout`` seconds: the job then goes on.
        """
        self._await(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The error that ``result`` raises once the job has ended, or None."""
        self._await(timeout)
        return super().exception(0)

    def done(self) -> bool:
        """Whether the job has ended; asks the server unless that is known."""
        return super().done() or self.status().is_done

    def running(self) -> bool:
        """Whether the job is under way: no longer queued, and not ended."""
        return not super().done() and self.status().state in (JobState.SUBMITTED, JobState.RUNNING)

    def cancelled(self) -> bool:
        """Whether the job is known to have ended cancelled."""
        return super().done() and self._job.state is JobState.CANCELLED

    def cancel(self, reason: str = "") -> bool:
        """Asks the job to end. False when it has ended already; a running one ends a moment later."""
        if super().done():
            return self.cancelled()
        job = self._client.cancel(self.job_id, reason)
        if job.is_done:
            self.settle(job)
        return job.state is JobState.CANCELLED or not job.is_done

    def add_done_callback(self, fn: Callable[[concurrent.futures.Future[Any]], object]) -> None:
        """Calls ``fn(handle)`` once the job has ended, on the client's thread: be quick there."""
        super().add_done_callback(fn)
        self._watch()

    def events(self, *, timeout: float | None = None) -> EventStream:
        """The job's events from its first to its last."""
        return self._client.events(job_ids=[self.job_id], end_when_done=True, timeout=timeout)

    def logs(self, *, stream: str | None = None, follow: bool = False, attempt: int = 0) -> LogStream:
        """What the job wrote; see Client.logs."""
        return self._client.logs(self.job_id, stream=stream, follow=follow, attempt=attempt)

    def settle(self, outcome: Job | OrchestratorError) -> None:
        """Ends the Future with how the job ended, or with why that can't be known. Only the first time counts."""
        error = self._client.failure(outcome) if isinstance(outcome, Job) else outcome
        if isinstance(outcome, Job) and not super().done():
            self._job = outcome
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            if error is not None:
                self.set_exception(error)
            else:
                self.set_result(self.value(self._job))

    def value(self, job: Job) -> Any:
        """What ``result`` gives for a job that succeeded."""
        return job.result

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.job_id} {self.state.value}>"

    @property
    def _waiters(self) -> list[Any]:
        # concurrent.futures.wait and as_completed ask for this list to put themselves on it, and then only wait: the
        # one moment to learn that somebody does. They hold the Future's lock, so a server is asked elsewhere.
        if self._watched_by != os.getpid() and not concurrent.futures.Future.done(self):
            threading.Thread(target=self._watch, name="dspy-orchestrator-watch", daemon=True).start()
        return self._watchers

    @_waiters.setter
    def _waiters(self, waiters: list[Any]) -> None:
        self._watchers = waiters

    def _watch(self) -> None:
        if self._watched_by != os.getpid() and not concurrent.futures.Future.done(self):
            self._watched_by = os.getpid()
            try:
                self._client.watcher.watch(self)
            except OrchestratorError as error:
                self.settle(error)

    def _await(self, timeout: float | None) -> None:
        self._watch()
        try:
            super().exception(timeout)
        except concurrent.futures.TimeoutError:
            raise DeadlineExceeded(
                f"job {self.job_id} has not ended after {timeout:g} s: wait again, or cancel it"
            ) from None


def as_completed(handles: Iterable[JobHandle], timeout: float | None = None) -> Iterator[JobHandle]:
    """The handles in the order in which their jobs end. Raises DeadlineExceeded after ``timeout`` seconds."""
    waiting = list(handles)
    deadline = None if timeout is None else time.monotonic() + timeout
    for handle in waiting:
        handle._watch()
    left = set(waiting)
    while left:
        wait = None if deadline is None else max(0.0, deadline - time.monotonic())
        ended, left = _ended(left, wait)
        if not ended:
            raise DeadlineExceeded(
                f"{len(left)} of {len(waiting)} jobs have not ended after {timeout:g} s: wait again, or cancel them"
            )
        yield from ended


def _ended(handles: set[JobHandle], timeout: float | None) -> tuple[set[JobHandle], set[JobHandle]]:
    ended, left = concurrent.futures.wait(handles, timeout, concurrent.futures.FIRST_COMPLETED)
    return ended, left  # type: ignore[return-value]
