"""The client for asyncio."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any

from dspy_orchestrator import channel, requests, subscription, wire
from dspy_orchestrator.aio import logs
from dspy_orchestrator.aio.calls import AsyncCaller
from dspy_orchestrator.aio.handle import AsyncJobHandle
from dspy_orchestrator.aio.logs import AsyncLogStream
from dspy_orchestrator.aio.stream import AsyncEventStream
from dspy_orchestrator.aio.watcher import AsyncWatcher
from dspy_orchestrator.errors import CursorTooOld, DeadlineExceeded, JobFailed, OrchestratorError, from_status
from dspy_orchestrator.health import Health
from dspy_orchestrator.log_position import LogPosition
from dspy_orchestrator.model import Job, JobClass, JobState, Metrics, Published, Resources, RetryPolicy, Slurm
from dspy_orchestrator.requests import JobSpec
from dspy_orchestrator.security import Security
from dspy_orchestrator.subscription import Subscription
from dspy_orchestrator.v1 import orchestrator_pb2 as pb


class AsyncClient:
    """Talks to one orchestrator from one event loop; close it, or use it in an ``async with`` block.

    The arguments, and the methods with theirs, are those of ``Client``; what talks to the server is awaited, and
    ``list``, ``events`` and ``logs`` are asynchronous iterators.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        timeout: float = 10.0,
        token: str | None = None,
        tls_ca: str | os.PathLike[str] | None = None,
        tls_certificate: str | os.PathLike[str] | None = None,
        tls_key: str | os.PathLike[str] | None = None,
    ) -> None:
        self.target = channel.target(target)
        self.timeout = timeout
        security = Security.found(token=token, ca=tls_ca, certificate=tls_certificate, key=tls_key)
        self._caller = AsyncCaller(self.target, security)
        self._watcher: AsyncWatcher | None = None

    async def submit(
        self,
        command: Sequence[str] | None = None,
        *,
        handler: str | None = None,
        job_class: JobClass | str | None = None,
        payload: Mapping[str, Any] | None = None,
        job_id: str | None = None,
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
        timeout: float | None = None,
        deadline: float | None = None,
        retry: RetryPolicy | None = None,
        depends_on: Sequence[str | Job | AsyncJobHandle] = (),
        resources: Resources | None = None,
        slurm: Slurm | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        stdin: str | None = None,
    ) -> AsyncJobHandle:
        """Hands in a job and returns it once the server holds it durably. See ``Client.submit``."""
        spec = JobSpec(
            command=command,
            handler=handler,
            job_class=job_class,
            payload=payload,
            job_id=job_id,
            priority=priority,
            labels=labels,
            timeout=timeout,
            deadline=deadline,
            retry=retry,
            depends_on=depends_on,
            resources=resources,
            slurm=slurm,
            env=env,
            cwd=cwd,
            stdin=stdin,
        )
        return await self._made(await self.accept(spec))

    async def accept(self, spec: JobSpec) -> Job:
        """Hands in a job and returns it as the server took it, without a Future of its end."""
        return wire.job((await self._unary("SubmitJob", spec.request())).job)

    async def submit_many(
        self, jobs: Iterable[JobSpec | Mapping[str, Any]]
    ) -> list[AsyncJobHandle | OrchestratorError]:
        """Hands in jobs, up to a thousand a call; one handle or error for each. See ``Client.submit_many``."""
        made: list[AsyncJobHandle | OrchestratorError] = []
        for batch in requests.batches(jobs):
            answer = await self._unary("SubmitJobs", batch)
            for result in answer.results:
                if result.HasField("error"):
                    made.append(from_status(result.error))
                else:
                    made.append(await self._made(wire.job(result.job)))
        return made

    async def handle(self, job_id: str) -> AsyncJobHandle:
        """A job that was submitted earlier, or by someone else, as a Future. Raises NotFound."""
        return await self._made(await self.get(job_id))

    async def get(self, job_id: str) -> Job:
        """The job as it is now. Raises NotFound."""
        return wire.job((await self._unary("GetStatus", pb.GetStatusRequest(job_id=job_id))).job)

    async def status(self, job_id: str) -> Job:
        """The same as ``get``."""
        return await self.get(job_id)

    def list(
        self,
        *,
        states: Sequence[JobState | str] = (),
        classes: Sequence[JobClass | str] = (),
        labels: Mapping[str, str] | None = None,
        submitted_after: datetime | None = None,
        submitted_before: datetime | None = None,
        page_size: int = 100,
    ) -> AsyncIterator[Job]:
        """Jobs, newest first, without payload and result; the pages are fetched as they are needed.

        Empty ``states`` or ``classes`` are all of them; ``labels`` must all be there. The moments need a time zone.
        """
        request = requests.list_jobs(states, classes, labels, submitted_after, submitted_before, page_size)
        return self._pages(request)

    async def cancel(self, job_id: str, reason: str = "") -> Job:
        """Asks a job to end and returns it as it is now: a running one ends a moment later. Raises NotFound.

        An ended job stays as it is. ``reason`` is kept with the job, for people; at most 1024 bytes.
        """
        answer = await self._unary("CancelJob", pb.CancelJobRequest(job_id=job_id, reason=reason))
        return wire.job(answer.job)

    async def requeue(self, job_id: str, reason: str = "") -> Job:
        """Puts a batch job back into Slurm's queue and returns it as it is now. See ``Client.requeue``."""
        answer = await self._unary("RequeueJob", pb.RequeueJobRequest(job_id=job_id, reason=reason))
        return wire.job(answer.job)

    async def publish_event(
        self,
        type: str,  # noqa: A002
        data: Mapping[str, Any] | None = None,
        *,
        job: str | Job | AsyncJobHandle | None = None,
        event_id: str | None = None,
    ) -> Published:
        """Adds an event of your own to the log, and says where it stands. See ``Client.publish_event``."""
        request = requests.publish_event(type, data, job, event_id)
        return wire.published(await self._unary("PublishEvent", request))

    async def metrics(self) -> Metrics:
        """The server's numbers, as on its ``/metrics``, and quantiles per job class."""
        return wire.metrics(await self._unary("GetMetrics", pb.GetMetricsRequest()))

    async def health(self) -> Health:
        """What the server says of itself to gRPC's health protocol; needs no credentials."""
        found: Health = await self._unary("Check", "")
        return found

    def events(
        self,
        after: int = 0,
        *,
        job_ids: Sequence[str] | None = None,
        types: Sequence[str] | None = None,
        from_now: bool = False,
        end_when_done: bool = False,
        timeout: float | None = None,
        reconnect_for: float = 300.0,
    ) -> AsyncEventStream:
        """Events in sequence order, history first and live ones after it. See ``Client.events``.

        ``from_now`` starts with the first event after the iteration begins, or the ``async with`` block around it.
        """
        subscription.check(after, job_ids, types, from_now, end_when_done)
        wanted = Subscription(
            target=self.target,
            after=after,
            from_now=from_now,
            job_ids=job_ids or (),
            types=types or (),
            end_when_done=end_when_done,
            deadline=None if timeout is None else time.monotonic() + timeout,
            reconnect_for=reconnect_for,
        )
        return AsyncEventStream(self._caller, wanted, self._is_done, self._now if from_now else None)

    def logs(
        self,
        job_id: str,
        *,
        stream: str | None = None,
        follow: bool = False,
        offset: int = 0,
        attempt: int = 0,
        reconnect_for: float = 300.0,
    ) -> AsyncLogStream:
        """What an attempt wrote: ``stdout``, ``stderr``, or both by turns. See ``Client.logs``."""
        position = LogPosition(
            target=self.target,
            job_id=job_id,
            stream=stream,
            offset=offset,
            follow=follow,
            attempt=attempt,
            reconnect_for=reconnect_for,
        )

        async def newest_attempt() -> int:
            return (await self.get(job_id)).attempt

        return AsyncLogStream(self._caller, position, newest_attempt)

    async def wait(self, job_id: str, timeout: float | None = None, *, check: bool = False) -> Job:
        """The job once it has ended, told by its events. See ``Client.wait``."""
        deadline = None if timeout is None else time.monotonic() + timeout
        job = await self.get(job_id)
        after = job.last_sequence
        while not job.is_done:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise DeadlineExceeded(
                    f"job {job_id} is still {job.state.value} after {timeout:g} s: wait again, or cancel it"
                )
            try:
                async with self.events(after, job_ids=[job_id], end_when_done=True, timeout=left) as events:
                    async for event in events:
                        after = event.sequence
            except DeadlineExceeded:
                pass
            except CursorTooOld as error:
                # What the job did up to the status below is in that status, so the stream may start where the log
                # now does.
                after = max(after, error.oldest - 1)
            job = await self.get(job_id)
        if check and (failed := await self.failure(job)) is not None:
            raise failed
        return job

    async def failure(self, job: Job) -> JobFailed | None:
        """How an ended job failed, with the end of its log where that can be had; None when it succeeded."""
        if job.state is JobState.SUCCEEDED:
            return None
        try:
            job.raise_for_state("" if not job.attempt else await logs.tail(self._caller, job.job_id, job.attempt))
        except JobFailed as error:
            return error.with_traceback(None)
        return None

    @property
    def watcher(self) -> AsyncWatcher:
        """What tells this client's handles when their jobs end."""
        if self._watcher is None:
            self._watcher = AsyncWatcher(self)
        return self._watcher

    async def close(self) -> None:
        """Ends every call and stream of this client. Its jobs go on."""
        if self._watcher is not None:
            # Before its connection: grpcio 1.62 may never end a read that is cancelled after that.
            await self._watcher.close()
        await self._caller.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _made(self, job: Job) -> AsyncJobHandle:
        return AsyncJobHandle(self, job, await self.failure(job) if job.is_done else None)

    async def _is_done(self, job_id: str) -> bool:
        return (await self.get(job_id)).is_done

    async def _now(self) -> int | None:
        return (await self.metrics()).last_sequence

    async def _pages(self, request: pb.ListJobsRequest) -> AsyncIterator[Job]:
        while True:
            page = await self._unary("ListJobs", request)
            for job in page.jobs:
                yield wire.job(job)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def _unary(self, name: str, request: Any) -> Any:
        return await self._caller.unary(name, request, self.timeout)
