"""One thread and one stream of events that tell all handles of a client when their jobs end."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from dspy_orchestrator import forks
from dspy_orchestrator.errors import Cancelled, CursorTooOld, DeadlineExceeded, OrchestratorError, Unavailable
from dspy_orchestrator.model import TERMINAL_TYPES, Job
from dspy_orchestrator.stream import EventStream

if TYPE_CHECKING:
    from dspy_orchestrator.client import Client
    from dspy_orchestrator.handle import JobHandle

_LINGER_SECONDS = 5.0
"""How long the stream stays open with nothing to watch, for the next job."""

_RECONNECT_SECONDS = 300.0

_PAUSE_SECONDS = 2.0
"""How long a fork waits for the thread."""

_ASK_AGAIN_SECONDS = 0.05
"""For a server behind a proxy, whose status may come from a replica that lags behind its events."""


class Watcher:
    """Settles handles when their jobs end. Its stream is opened with the first one."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._watched: dict[str, list[JobHandle]] = {}
        self._position = 0
        """Sequence of the last event dealt with, or where the stream began."""
        self._idle_since = 0.0
        self._thread: threading.Thread | None = None
        self._stream: EventStream | None = None
        self._paused = False
        forks.guard(self)

    def watch(self, handle: JobHandle) -> None:
        """Has the handle settled when its job ends."""
        with self._lock:
            self._watched.setdefault(handle.job_id, []).append(handle)
            # An end with a sequence beyond the position is still to come by; an earlier one must be asked for.
            passed = self._thread is not None and handle.last_sequence < self._position
            self._start()
        if passed:
            job = self._client.get(handle.job_id)
            if job.is_done:
                self._settle(handle.job_id, job)

    def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
        self._settle_all(Cancelled("this Client is closed: make a new one, and wait for the job with it"))

    def pause(self) -> None:
        """Ends the stream, and returns once the thread has ended; nothing is lost."""
        with self._lock:
            self._paused = True
            thread, stream = self._thread, self._stream
        if thread is None or thread is threading.current_thread():
            return
        deadline = time.monotonic() + _PAUSE_SECONDS
        while thread.is_alive() and time.monotonic() < deadline:
            if stream is not None:
                stream.close()
            thread.join(_ASK_AGAIN_SECONDS)
            stream = self._stream

    def resume(self) -> None:
        with self._lock:
            self._paused = False
            self._start()

    def _start(self) -> None:
        if self._thread is None and self._watched and not self._paused:
            self._thread = threading.Thread(target=self._run, name="dspy-orchestrator-watcher", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        after = None
        while True:
            with self._lock:
                if not self._watched or self._paused:
                    self._thread = None
                    return
                if after is None:
                    after = min(handle.last_sequence for handles in self._watched.values() for handle in handles)
                self._position = after
            try:
                self._stream = self._client.events(after, types=TERMINAL_TYPES, reconnect_for=_RECONNECT_SECONDS)
                self._follow(self._stream)
                after = None
            except CursorTooOld as error:
                after = error.oldest - 1 if error.oldest else 0
                self._ask_for_each()
            except OrchestratorError as error:
                self._settle_all(error)
                after = None

    def _follow(self, stream: EventStream) -> None:
        """Until there has been nothing to watch for a while."""
        with stream:
            for event in stream:
                with self._lock:
                    self._position = event.sequence
                    wanted = event.job_id in self._watched
                    idle = not self._watched and time.monotonic() - self._idle_since > _LINGER_SECONDS
                if idle:
                    return
                if wanted:
                    self._settle(event.job_id, self._outcome(event.job_id))

    def _outcome(self, job_id: str) -> Job | OrchestratorError:
        """The job, which has ended; a server that restarts just now is waited for."""
        deadline = time.monotonic() + _RECONNECT_SECONDS
        while True:
            try:
                job = self._client.get(job_id)
                if job.is_done:
                    return job
                time.sleep(_ASK_AGAIN_SECONDS)
            except (Unavailable, DeadlineExceeded) as error:
                if time.monotonic() > deadline:
                    return error
            except OrchestratorError as error:
                return error

    def _ask_for_each(self) -> None:
        """What became of the jobs whose events are no longer kept."""
        with self._lock:
            job_ids = list(self._watched)
        for job_id in job_ids:
            outcome = self._outcome(job_id)
            if isinstance(outcome, OrchestratorError) or outcome.is_done:
                self._settle(job_id, outcome)

    def _settle(self, job_id: str, outcome: Job | OrchestratorError) -> None:
        with self._lock:
            handles = self._watched.pop(job_id, [])
            self._idle_since = time.monotonic()
        for handle in handles:
            handle.settle(outcome)

    def _settle_all(self, error: OrchestratorError) -> None:
        with self._lock:
            watched, self._watched = self._watched, {}
        for handles in watched.values():
            for handle in handles:
                handle.settle(error)
