"""A job's output as an iterator that survives lost connections."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import grpc

from dspy_orchestrator.calls import Caller
from dspy_orchestrator.log_position import LogPosition
from dspy_orchestrator.model import LogChunk


class LogStream(Iterator[LogChunk]):
    """What an attempt wrote, piece by piece, each byte once.

    Made by Client.logs. Use it from one thread; ``close`` may come from any.
    """

    def __init__(self, caller: Caller, position: LogPosition, newest_attempt: Callable[[], int]) -> None:
        self._caller = caller
        self._position = position
        self._newest_attempt = newest_attempt
        self._call: Any = None
        self._closed = False

    def __iter__(self) -> LogStream:
        return self

    def __next__(self) -> LogChunk:
        while not self._closed:
            try:
                if self._call is None:
                    self._position.attempt = self._position.attempt or self._newest_attempt()
                    request = self._position.opened(time.monotonic())
                    self._call = self._caller.stream("StreamLogs", request, None)
                message = next(self._call)
                self._position.attempt = self._position.attempt or self._newest_attempt()
                chunk = self._position.received(message)
            except StopIteration:
                self._closed = True
            except grpc.RpcError as error:
                self._call = None
                if not self._closed:
                    self._caller.pause(self._position.lost(error, time.monotonic()))
            else:
                if chunk is not None:
                    return chunk
        raise StopIteration

    def close(self) -> None:
        """Ends the iteration; the iterator gives nothing more."""
        self._closed = True
        if self._call is not None:
            self._call.cancel()

    def __enter__(self) -> LogStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


TAIL_BYTES = 4096
"""How much of a failed job's output goes with its JobFailed."""

TAIL_SECONDS = 5.0
"""How long that may take."""


def tail(caller: Caller, job_id: str, attempt: int) -> str:
    """The end of what the attempt wrote on standard error, else on standard output; "" when it can't be had."""
    for stream in ("stderr", "stdout"):
        position = LogPosition(
            target=caller.target,
            job_id=job_id,
            stream=stream,
            offset=0,
            follow=False,
            attempt=attempt,
            reconnect_for=0.0,
        )
        end = b""
        try:
            for message in caller.stream("StreamLogs", position.opened(0.0), TAIL_SECONDS):
                end = (end + message.data)[-TAIL_BYTES:]
        except grpc.RpcError:
            return ""
        if end.strip():
            return end.decode(errors="replace")
    return ""
