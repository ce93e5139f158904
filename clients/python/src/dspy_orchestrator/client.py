"""The synchronous client."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any

from dspy_orchestrator import channel, logs, requests, subscription, wire
from dspy_orchestrator.calls import Caller
from dspy_orchestrator.errors import CursorTooOld, DeadlineExceeded, JobFailed, OrchestratorError, from_status
from dspy_orchestrator.handle import JobHandle
from dspy_orchestrator.health import Health
from dspy_orchestrator.log_position import LogPosition
from dspy_orchestrator.logs import LogStream
from dspy_orchestrator.model import Job, JobClass, JobState, Metrics, Published, Resources, RetryPolicy, Slurm
from dspy_orchestrator.requests import JobSpec
from dspy_orchestrator.security import Security
from dspy_orchestrator.stream import EventStream
from dspy_orchestrator.subscription import Subscription
from dspy_orchestrator.v1 import orchestrator_pb2 as pb
from dspy_orchestrator.watcher import Watcher


class Client:
    """Talks to one orchestrator. Safe to use from many threads; close it, or use it in a ``with`` block.

    ``target`` is ``host:port``; without it, the environment variable ``DSPY_ORCHESTRATOR_TARGET``, else
    127.0.0.1:50051. ``timeout`` is how many seconds a call may take in all, retries included. Every method may raise
    an OrchestratorError; nothing is sent before the first call. A process that is forked off may go on using it; what
    is under way stays with the parent.

    ``token`` says who calls (``DSPY_ORCHESTRATOR_TOKEN``). ``tls_ca`` is a PEM file with the CA that signed the
    server's certificate (``DSPY_ORCHESTRATOR_TLS_CA``), or ``"system"`` for the ones this machine trusts; it turns
    encryption on. ``tls_certificate`` and ``tls_key`` are PEM files to say who calls by a certificate
    (``DSPY_ORCHESTRATOR_TLS_CERTIFICATE``, ``DSPY_ORCHESTRATOR_TLS_KEY``). Without encryption a token is sent to
    this machine alone. What can't be right raises InvalidArgument.
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
        self._caller = Caller(self.target, security)
        self._watcher: tuple[int, Watcher] | None = None
        self._lock = threading.Lock()

    def submit(
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
        depends_on: Sequence[str | Job | JobHandle] = (),
        resources: Resources | None = None,
        slurm: Slurm | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        stdin: str | None = None,
    ) -> JobHandle:
        """Hands in a job and returns it, as a Future, once the server holds it durably.

        ``command`` is a list of words; no shell is involved. Instead of it, ``handler`` names a command, or a warm
        worker, of the server's configuration. ``payload`` holds what else the job needs; the named parameters go on
        top of it. ``slurm`` makes it a batch job; without a command its payload holds the parameters of a template.
        ``job_class`` is ``cpu_short`` unless said otherwise, ``gpu_slurm`` with ``slurm``. ``cwd`` is an absolute path
        on the server's machine. ``timeout`` is in seconds, of one attempt; None is the server's default for the class.
        ``deadline`` is in seconds from now to the job's end, waiting and all attempts included. Higher ``priority``
        runs first. The jobs in ``depends_on`` must succeed first.

        Submitting again with the same ``job_id`` and content returns the job that is there; other content raises
        AlreadyExists. Without one the client makes a UUID, so that its own retries never run a job twice.
        """
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
        return JobHandle(self, self.accept(spec))

    def accept(self, spec: JobSpec) -> Job:
        """Hands in a job and returns it as the server took it, without a Future of its end."""
        return wire.job(self._unary("SubmitJob", spec.request()).job)

    def submit_many(self, jobs: Iterable[JobSpec | Mapping[str, Any]]) -> list[JobHandle | OrchestratorError]:
        """Hands in jobs, up to a thousand a call, each call one commit of the server.

        A job is a JobSpec, or a dict of what ``submit`` takes; it may depend on others before it in the list. The
        answer has one entry for each, in their order: its JobHandle, or the error that ``submit`` would have raised;
        one that is refused does not affect the others.
        """
        return [
            from_status(result.error) if result.HasField("error") else JobHandle(self, wire.job(result.job))
            for batch in requests.batches(jobs)
            for result in self._unary("SubmitJobs", batch).results
        ]

    def handle(self, job_id: str) -> JobHandle:
        """A job that was submitted earlier, or by someone else, as a Future. Raises NotFound."""
        return JobHandle(self, self.get(job_id))

    def get(self, job_id: str) -> Job:
        """The job as it is now. Raises NotFound."""
        return wire.job(self._unary("GetStatus", pb.GetStatusRequest(job_id=job_id)).job)

    def status(self, job_id: str) -> Job:
        """The same as ``get``."""
        return self.get(job_id)

    def list(
        self,
        *,
        states: Sequence[JobState | str] = (),
        classes: Sequence[JobClass | str] = (),
        labels: Mapping[str, str] | None = None,
        submitted_after: datetime | None = None,
        submitted_before: datetime | None = None,
        page_size: int = 100,
    ) -> Iterator[Job]:
        """Jobs, newest first, without payload and result; the pages are fetched as they are needed.

        Empty ``states`` or ``classes`` are all of them; ``labels`` must all be there. The moments need a time zone.
        """
        request = requests.list_jobs(states, classes, labels, submitted_after, submitted_before, page_size)
        return self._pages(request)

    def cancel(self, job_id: str, reason: str = "") -> Job:
        """Asks a job to end and returns it as it is now: a running one ends a moment later. Raises NotFound.

        An ended job stays as it is. ``reason`` is kept with the job, for people; at most 1024 bytes.
        """
        return wire.job(self._unary("CancelJob", pb.CancelJobRequest(job_id=job_id, reason=reason)).job)

    def requeue(self, job_id: str, reason: str = "") -> Job:
        """Puts a batch job back into Slurm's queue and returns it as it is now: it goes on as the same attempt.

        One that still waits there stays as it is. ``reason`` is kept in the event that follows, for people; at most
        1024 bytes. Raises NotFound; FailedPrecondition when the job is not in Slurm, or Slurm refuses; Unavailable when
        Slurm can't be asked for all of ``timeout``.
        """
        return wire.job(self._unary("RequeueJob", pb.RequeueJobRequest(job_id=job_id, reason=reason)).job)

    def publish_event(
        self,
        type: str,  # noqa: A002
        data: Mapping[str, Any] | None = None,
        *,
        job: str | Job | JobHandle | None = None,
        event_id: str | None = None,
    ) -> Published:
        """Adds an event of your own to the log, in one order with the jobs' events, and says where it stands.

        ``type`` is ``agent.`` and words of a-z 0-9 _ - with dots between, such as ``agent.tool.call``. ``data`` is at
        most 16 KiB of JSON. ``job`` is what it is about, if anything. Submitting an ``event_id`` again gives the event
        that is there. Raises ResourceExhausted when this goes faster than the server allows, for all of ``timeout``.
        """
        request = requests.publish_event(type, data, job, event_id)
        return wire.published(self._unary("PublishEvent", request))

    def metrics(self) -> Metrics:
        """The server's numbers, as on its ``/metrics``, and quantiles per job class."""
        return wire.metrics(self._unary("GetMetrics", pb.GetMetricsRequest()))

    def health(self) -> Health:
        """What the server says of itself to gRPC's health protocol; needs no credentials."""
        found: Health = self._unary("Check", "")
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
    ) -> EventStream:
        """Events in sequence order: those after ``after`` that are kept (0 is all), then live ones.

        The iterator takes up a lost connection where it broke, without gap or repeat, and raises Unavailable only
        after ``reconnect_for`` seconds without the server. It never ends by itself, unless ``end_when_done`` is set:
        then once each of ``job_ids`` has ended. ``from_now`` starts with the first event after this call.
        ``timeout`` in seconds ends it with DeadlineExceeded. Raises CursorTooOld when events after ``after`` are no
        longer kept, and EventGap should the server skip one.
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
        if from_now:
            # "Now" becomes a sequence before the stream opens, so that a connection lost before the first event can be
            # taken up without a gap. A server that doesn't say is asked for "now" itself; such a stream can't resume
            # until its first event.
            now = self.metrics().last_sequence
            if now is not None:
                wanted.start_after(now)
        return EventStream(self._caller, wanted, lambda job_id: self.get(job_id).is_done)

    def logs(
        self,
        job_id: str,
        *,
        stream: str | None = None,
        follow: bool = False,
        offset: int = 0,
        attempt: int = 0,
        reconnect_for: float = 300.0,
    ) -> LogStream:
        """What an attempt wrote: ``stdout``, ``stderr``, or both by turns; attempt 0 is the newest.

        ``follow`` goes on while the attempt runs, over lost connections as ``events`` does. ``offset`` is in bytes, of
        one stream. Ends when there is no more.
        """
        position = LogPosition(
            target=self.target,
            job_id=job_id,
            stream=stream,
            offset=offset,
            follow=follow,
            attempt=attempt,
            reconnect_for=reconnect_for,
        )
        return LogStream(self._caller, position, lambda: self.get(job_id).attempt)

    def wait(self, job_id: str, timeout: float | None = None, *, check: bool = False) -> Job:
        """The job once it has ended, told by its events rather than by asking again and again.

        A server that restarts meanwhile is waited for. ``timeout`` is in seconds, None is as long as it takes; when it
        is over, DeadlineExceeded is raised and the job goes on. ``check`` raises JobFailed unless the job succeeded.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        job = self.get(job_id)
        after = job.last_sequence
        while not job.is_done:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise DeadlineExceeded(
                    f"job {job_id} is still {job.state.value} after {timeout:g} s: wait again, or cancel it"
                )
            try:
                with self.events(after, job_ids=[job_id], end_when_done=True, timeout=left) as events:
                    for event in events:
                        after = event.sequence
            except DeadlineExceeded:
                pass
            except CursorTooOld as error:
                # What the job did up to the status below is in that status, so the stream may start where the log
                # now does.
                after = max(after, error.oldest - 1)
            job = self.get(job_id)
        if check and (failed := self.failure(job)) is not None:
            raise failed
        return job

    def failure(self, job: Job) -> JobFailed | None:
        """How an ended job failed, with the end of its log where that can be had; None when it succeeded."""
        if job.state is JobState.SUCCEEDED:
            return None
        try:
            job.raise_for_state("" if not job.attempt else logs.tail(self._caller, job.job_id, job.attempt))
        except JobFailed as error:
            return error.with_traceback(None)
        return None

    @property
    def watcher(self) -> Watcher:
        """What tells this client's handles, in this process, when their jobs end."""
        with self._lock:
            if self._watcher is None or self._watcher[0] != os.getpid():
                self._watcher = os.getpid(), Watcher(self)
            return self._watcher[1]

    def close(self) -> None:
        """Ends every call and stream of this client. Its jobs go on."""
        self._caller.close()
        if self._watcher is not None and self._watcher[0] == os.getpid():
            self._watcher[1].close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _pages(self, request: pb.ListJobsRequest) -> Iterator[Job]:
        while True:
            page = self._unary("ListJobs", request)
            yield from map(wire.job, page.jobs)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def _unary(self, name: str, request: Any) -> Any:
        return self._caller.unary(name, request, self.timeout)
