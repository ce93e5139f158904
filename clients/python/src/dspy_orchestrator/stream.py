"""The server's events as an iterator that survives lost connections."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any

import grpc

from dspy_orchestrator import wire
from dspy_orchestrator.backoff import Backoff
from dspy_orchestrator.calls import Caller, may_resume
from dspy_orchestrator.cursor import Cursor
from dspy_orchestrator.errors import DeadlineExceeded, retry_delay
from dspy_orchestrator.model import Event
from dspy_orchestrator.v1 import orchestrator_pb2 as pb

_CONNECTED_SECONDS = 30.0
"""An attempt that lasted longer than this had a connection: gRPC gives up connecting after 20 s."""


class EventStream(Iterator[Event]):
    """Events in sequence order, each exactly once, across any number of lost connections.

    Made by Client.events. Use it from one thread; ``close`` may come from any.
    """

    def __init__(
        self,
        caller: Caller,
        open_stream: Callable[..., Any],
        is_done: Callable[[str], bool],
        *,
        after: int,
        from_now: bool,
        job_ids: Sequence[str],
        types: Sequence[str],
        end_when_done: bool,
        timeout: float | None,
        reconnect_for: float,
    ) -> None:
        self._caller = caller
        self._open_stream = open_stream
        self._is_done = is_done
        self._cursor = Cursor(after, filtered=bool(job_ids or types))
        self._from_now = from_now
        self._job_ids = tuple(job_ids)
        self._types = tuple(types)
        self._end_when_done = end_when_done
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._reconnect_for = reconnect_for
        self._pending = set(job_ids)
        self._backoff = Backoff()
        self._lost_at: float | None = None
        self._opened_at = 0.0
        self._call: Any = None
        self._closed = False

    @property
    def last_sequence(self) -> int:
        """Sequence of the last event handed out, or where the stream began."""
        return self._cursor.after

    def __iter__(self) -> EventStream:
        return self

    def __next__(self) -> Event:
        while not self._closed:
            try:
                message = next(self._opened())
            except StopIteration:
                self._call = None
                if self._ended():
                    self.close()
                else:
                    self._pause("the server ended the stream early", None)
            except grpc.RpcError as error:
                self._call = None
                if not self._closed:
                    self._recover(error)
            else:
                self._from_now = False
                if self._cursor.accept(message.sequence):
                    self._backoff.reset()
                    self._lost_at = None
                    event = wire.event(message)
                    if event.is_terminal:
                        self._pending.discard(event.job_id)
                    return event
        raise StopIteration

    def close(self) -> None:
        """Ends the iteration; the iterator gives nothing more."""
        self._closed = True
        if self._call is not None:
            self._call.cancel()

    def __enter__(self) -> EventStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _opened(self) -> Any:
        if self._call is None:
            self._caller.check_open()
            request = pb.StreamEventsRequest(
                after_sequence=self._cursor.after,
                job_ids=self._job_ids,
                types=self._types,
                from_now=self._from_now,
                end_when_done=self._end_when_done,
            )
            self._opened_at = time.monotonic()
            self._call = self._open_stream(request, timeout=self._left())
            if self._closed:
                self._call.cancel()
        return self._call

    def _left(self) -> float | None:
        return None if self._deadline is None else max(0.001, self._deadline - time.monotonic())

    def _ended(self) -> bool:
        """An OK end is the end only when every job has indeed ended: some before the cursor, so the server is asked."""
        return self._end_when_done and all(self._is_done(job_id) for job_id in sorted(self._pending))

    def _recover(self, error: grpc.RpcError) -> None:
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise DeadlineExceeded(
                f"the events did not end in time; the last one seen was {self._cursor.after}: "
                f"go on with events(after={self._cursor.after})"
            ) from None
        if not may_resume(error) or self._from_now:
            # Without a sequence there is no place to resume from, and "now" would skip what came in between.
            raise self._caller.explained(error, "StreamEvents") from None
        self._pause(error.details() or error.code().name, error)

    def _pause(self, cause: str, error: grpc.RpcError | None) -> None:
        """Waits before the next attempt, or raises once the server has been out of reach for too long."""
        now = time.monotonic()
        if self._lost_at is None or now - self._opened_at > _CONNECTED_SECONDS:
            self._lost_at = now
            self._backoff.reset()
        delay = self._backoff.next(None if error is None else retry_delay(error))
        if error is not None and now + delay - self._lost_at > self._reconnect_for:
            raise self._caller.explained(error, "StreamEvents") from None
        if self._deadline is not None:
            delay = min(delay, max(0.0, self._deadline - now))
        self._caller.closed.wait(delay)
