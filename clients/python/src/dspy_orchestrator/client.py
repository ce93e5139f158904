"""The synchronous client."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from dspy_orchestrator import wire
from dspy_orchestrator.calls import Caller
from dspy_orchestrator.errors import CursorTooOld, DeadlineExceeded, InvalidArgument
from dspy_orchestrator.model import Job, JobClass, Metrics, RetryPolicy
from dspy_orchestrator.security import Security
from dspy_orchestrator.stream import EventStream
from dspy_orchestrator.v1 import orchestrator_pb2 as pb
from dspy_orchestrator.v1 import orchestrator_pb2_grpc as pb_grpc

DEFAULT_TARGET = "127.0.0.1:50051"

_LAST_SEQUENCE = "orchestrator_last_sequence"
"""The gauge of GetMetrics that says where the event log ends."""

_CHANNEL_OPTIONS = [
    # The server allows a ping every 10 s; quiet event streams notice a dead peer within 30 s.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    # A server that restarts is found again within a second, rather than gRPC's own 1 s growing to 2 min.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # The server takes payloads of up to 1 MiB, and results may be larger than gRPC's 4 MiB.
    ("grpc.max_receive_message_length", 64 << 20),
]


class Client:
    """Talks to one orchestrator. Safe to use from many threads; close it, or use it in a ``with`` block.

    ``target`` is ``host:port``; without it, the environment variable ``DSPY_ORCHESTRATOR_TARGET``, else
    127.0.0.1:50051. ``timeout`` is how many seconds a call may take in all, retries included. Every method may raise
    an OrchestratorError; nothing is sent before the first call.

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
        self.target = target or os.environ.get("DSPY_ORCHESTRATOR_TARGET") or DEFAULT_TARGET
        self.timeout = timeout
        self._caller = Caller(self.target)
        security = Security.found(token=token, ca=tls_ca, certificate=tls_certificate, key=tls_key)
        self._channel = security.channel(self.target, _CHANNEL_OPTIONS)
        self._stub = pb_grpc.OrchestratorStub(self._channel)  # type: ignore[no-untyped-call]

    def submit(
        self,
        command: Sequence[str] | None = None,
        *,
        job_class: JobClass | str = JobClass.CPU_SHORT,
        payload: Mapping[str, Any] | None = None,
        job_id: str | None = None,
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        stdin: str | None = None,
    ) -> Job:
        """Hands in a job and returns it once the server holds it durably.

        ``command`` is a list of words; no shell is involved. ``payload`` holds what else the job needs, such as
        ``{"handler": "name", ...}`` instead of a command; the named parameters go on top of it. ``cwd`` is an absolute
        path on the server's machine. ``timeout`` is in
        seconds, of one attempt; None is the server's default for the class. Higher ``priority`` runs first.

        Submitting again with the same ``job_id`` and content returns the job that is there; other content raises
        AlreadyExists. Without one the client makes a UUID, so that its own retries never run a job twice.
        """
        request = pb.SubmitJobRequest(
            job_id=job_id if job_id is not None else str(uuid.uuid4()),
            job_class=wire.job_class_number(job_class),  # type: ignore[arg-type]
            payload=wire.payload(command, payload, env, None if cwd is None else os.fspath(cwd), stdin),
            priority=priority,
            labels=labels or {},
            timeout=None if timeout is None else wire.duration(timeout),
            retry=None if retry is None else wire.retry_policy(retry),
        )
        if not request.job_id:
            raise InvalidArgument("job_id is empty: leave it out to get one made", "job_id")
        return wire.job(self._unary("SubmitJob", request).job)

    def status(self, job_id: str) -> Job:
        """The job as it is now. Raises NotFound."""
        return wire.job(self._unary("GetStatus", pb.GetStatusRequest(job_id=job_id)).job)

    def cancel(self, job_id: str, reason: str = "") -> Job:
        """Asks a job to end and returns it as it is now: a running one ends a moment later. Raises NotFound.

        An ended job stays as it is. ``reason`` is kept with the job, for people; at most 1024 bytes.
        """
        return wire.job(self._unary("CancelJob", pb.CancelJobRequest(job_id=job_id, reason=reason)).job)

    def metrics(self) -> Metrics:
        """The server's numbers, as on its ``/metrics``, and quantiles per job class."""
        return wire.metrics(self._unary("GetMetrics", pb.GetMetricsRequest()))

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
        if isinstance(job_ids, str) or isinstance(types, str):
            raise InvalidArgument("job_ids and types are lists: write ['…'] around a single one", "job_ids")
        if end_when_done and not job_ids:
            raise InvalidArgument("end_when_done needs job_ids: name the jobs whose end is awaited", "end_when_done")
        if from_now and after:
            raise InvalidArgument(f"from_now and after={after} exclude each other: give one of them", "from_now")
        if from_now:
            # "Now" becomes a sequence before the stream opens, so that a connection lost before the first event can be
            # taken up without a gap. A server that doesn't say is asked for "now" itself; such a stream can't resume
            # until its first event.
            now = self.metrics().value(_LAST_SEQUENCE)
            after, from_now = (0, True) if now is None else (int(now), False)
        return EventStream(
            self._caller,
            self._stub.StreamEvents,
            lambda job_id: self.status(job_id).is_done,
            after=after,
            from_now=from_now,
            job_ids=job_ids or (),
            types=types or (),
            end_when_done=end_when_done,
            timeout=timeout,
            reconnect_for=reconnect_for,
        )

    def wait(self, job_id: str, timeout: float | None = None, *, check: bool = False) -> Job:
        """The job once it has ended, told by its events rather than by asking again and again.

        A server that restarts meanwhile is waited for. ``timeout`` is in seconds, None is as long as it takes; when it
        is over, DeadlineExceeded is raised and the job goes on. ``check`` raises JobFailed unless the job succeeded.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        job = self.status(job_id)
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
            job = self.status(job_id)
        if check:
            job.raise_for_state()
        return job

    def close(self) -> None:
        """Ends every call and stream of this client."""
        self._caller.closed.set()
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _unary(self, name: str, request: Any) -> Any:
        return self._caller.unary(getattr(self._stub, name), request, name, self.timeout)
