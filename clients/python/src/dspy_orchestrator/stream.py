"""The server's events as an iterator that survives lost connections."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import grpc

from dspy_orchestrator.calls import Caller
from dspy_orchestrator.model import Event
from dspy_orchestrator.subscription import Subscription


class EventStream(Iterator[Event]):
    """Events in sequence order, each exactly once, across any number of lost connections.

    Made by Client.events. Use it from one thread; ``close`` may come from any.
    """

    def __init__(self, caller: Caller, subscription: Subscription, is_done: Callable[[str], bool]) -> None:
        self._caller = caller
        self._subscription = subscription
        self._is_done = is_done
        self._call: Any = None
        self._closed = False

    @property
    def last_sequence(self) -> int:
        """Sequence of the last event handed out, or where the stream began."""
        return self._subscription.after

    def __iter__(self) -> EventStream:
        return self

    def __next__(self) -> Event:
        while not self._closed:
            error: grpc.RpcError | None = None
            try:
                event = self._subscription.received(next(self._opened()))
                if event is not None:
                    return event
                continue
            except StopIteration:
                self._call = None
                if self._ended():
                    self.close()
                    break
            except grpc.RpcError as raised:
                self._call = None
                error = raised
            if not self._closed:
                self._caller.pause(self._subscription.lost(error, time.monotonic()))
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
            request, timeout = self._subscription.opened(time.monotonic())
            self._call = self._caller.stream("StreamEvents", request, timeout)
            if self._closed:
                self._call.cancel()
        return self._call

    def _ended(self) -> bool:
        """An OK end is the end only when every job has indeed ended: some before the cursor, so the server is asked."""
        return self._subscription.may_end and all(self._is_done(job_id) for job_id in self._subscription.pending)
