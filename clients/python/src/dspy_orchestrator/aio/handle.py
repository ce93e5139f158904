"""A submitted job that can be awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dspy_orchestrator.aio.logs import AsyncLogStream
from dspy_orchestrator.aio.stream import AsyncEventStream
from dspy_orchestrator.errors import DeadlineExceeded, JobFailed, OrchestratorError
from dspy_orchestrator.model import Job, JobClass, JobState

if TYPE_CHECKING:
    from dspy_orchestrator.aio.client import AsyncClient


class AsyncJobHandle:
    """One job of one client: ``await handle`` is its result.

    Its end is told by the server's events, one stream for all handles of a client; nothing polls. The properties say
    how the job was when it was submitted or last asked for; ``status()`` asks.
    """

    def __init__(self, client: AsyncClient, job: Job, outcome: JobFailed | None = None) -> None:
        self._client = client
        self._job = job
        self._error: OrchestratorError | None = outcome
        self._ended = asyncio.Event()
        self._callbacks: list[Callable[[AsyncJobHandle], object]] = []
        self._watched = False
        if job.is_done:
            self._ended.set()

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

    def __await__(self) -> Generator[Any, None, Any]:
        return self.result().__await__()

    async def status(self) -> Job:
        """The job as it is now."""
        job = await self._client.get(self.job_id)
        if job.is_done:
            await self.settle(job)
        else:
            self._job = job
        return job

    async def result(self, timeout: float | None = None) -> Any:
        """What the job left as its result, once it has ended.

        Raises JobFailed or JobCancelled, and DeadlineExceeded after ``timeout`` seconds: the job then goes on.
        """
        await self._wait(timeout)
        if self._error is not None:
            raise self._error
        return self._job.result

    async def exception(self, timeout: float | None = None) -> OrchestratorError | None:
        """The error that ``result`` raises once the job has ended, or None."""
        await self._wait(timeout)
        return self._error

    async def done(self) -> bool:
        """Whether the job has ended; asks the server unless that is known."""
        return self._ended.is_set() or (await self.status()).is_done

    async def running(self) -> bool:
        """Whether the job is under way: no longer queued, and not ended."""
        return not self._ended.is_set() and (await self.status()).state in (JobState.SUBMITTED, JobState.RUNNING)

    def cancelled(self) -> bool:
        """Whether the job is known to have ended cancelled."""
        return self._ended.is_set() and self._job.state is JobState.CANCELLED

    async def cancel(self, reason: str = "") -> bool:
        """Asks the job to end. False when it has ended already; a running one ends a moment later."""
        if self._ended.is_set():
            return self.cancelled()
        job = await self._client.cancel(self.job_id, reason)
        if job.is_done:
            await self.settle(job)
        return job.state is JobState.CANCELLED or not job.is_done

    def add_done_callback(self, fn: Callable[[AsyncJobHandle], object]) -> None:
        """Calls ``fn(handle)`` on the event loop once the job has ended."""
        if self._ended.is_set():
            asyncio.get_running_loop().call_soon(fn, self)
            return
        self._callbacks.append(fn)
        self._watch()

    def events(self, *, timeout: float | None = None) -> AsyncEventStream:
        """The job's events from its first to its last."""
        return self._client.events(job_ids=[self.job_id], end_when_done=True, timeout=timeout)

    def logs(self, *, stream: str | None = None, follow: bool = False, attempt: int = 0) -> AsyncLogStream:
        """What the job wrote; see AsyncClient.logs."""
        return self._client.logs(self.job_id, stream=stream, follow=follow, attempt=attempt)

    async def settle(self, outcome: Job | OrchestratorError) -> None:
        """Takes down how the job ended, or why that can't be known. Only the first time counts."""
        error = await self._client.failure(outcome) if isinstance(outcome, Job) else outcome
        if self._ended.is_set():
            return
        if isinstance(outcome, Job):
            self._job = outcome
        self._error = error
        self._ended.set()
        loop = asyncio.get_running_loop()
        for fn in self._callbacks:
            loop.call_soon(fn, self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.job_id} {self.state.value}>"

    def _watch(self) -> None:
        if not self._watched and not self._ended.is_set():
            self._watched = True
            self._client.watcher.watch(self)

    async def _wait(self, timeout: float | None) -> None:
        self._watch()
        try:
            await asyncio.wait_for(self._ended.wait(), timeout)
        except asyncio.TimeoutError:
            raise DeadlineExceeded(
                f"job {self.job_id} has not ended after {timeout:g} s: wait again, or cancel it"
            ) from None


async def as_completed(
    handles: Iterable[AsyncJobHandle], timeout: float | None = None
) -> AsyncIterator[AsyncJobHandle]:
    """The handles in the order in which their jobs end. Raises DeadlineExceeded after ``timeout`` seconds."""
    waiting = list(handles)
    ended: asyncio.Queue[AsyncJobHandle] = asyncio.Queue()
    for handle in waiting:
        handle.add_done_callback(ended.put_nowait)
    loop = asyncio.get_running_loop()
    deadline = None if timeout is None else loop.time() + timeout
    for count in range(len(waiting)):
        left = None if deadline is None else max(0.0, deadline - loop.time())
        try:
            yield await asyncio.wait_for(ended.get(), left)
        except asyncio.TimeoutError:
            raise DeadlineExceeded(
                f"{len(waiting) - count} of {len(waiting)} jobs have not ended after {timeout:g} s: "
                "wait again, or cancel them"
            ) from None
