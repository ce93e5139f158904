"""A job's output as an asynchronous iterator that survives lost connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any

import grpc

from dspy_orchestrator.aio.calls import AsyncCaller
from dspy_orchestrator.log_position import LogPosition
from dspy_orchestrator.logs import TAIL_BYTES, TAIL_SECONDS
from dspy_orchestrator.model import LogChunk


class AsyncLogStream(AsyncIterator[LogChunk]):
    """What an attempt wrote, piece by piece, each byte once. Made by AsyncClient.logs."""

    def __init__(
        self, caller: AsyncCaller, position: LogPosition, newest_attempt: Callable[[], Awaitable[int]]
    ) -> None:
        self._caller = caller
        self._position = position
        self._newest_attempt = newest_attempt
        self._call: Any = None
        self._closed = False
        self._held: LogChunk | None = None

    def __aiter__(self) -> AsyncLogStream:
        return self

    async def __anext__(self) -> LogChunk:
        while not self._closed:
            if self._held is not None:
                held, self._held = self._held, None
                return held
            try:
                if self._call is None:
                    self._position.attempt = self._position.attempt or await self._newest_attempt()
                    self._call = self._caller.stream("StreamLogs", self._position.opened(time.monotonic()), None)
                message = await self._caller.read(self._call)
                if message is None:
                    self._closed = True
                    break
                # Kept while the attempt is asked for: a wait that is cancelled there must not lose it.
                self._held = self._position.received(message)
                self._position.attempt = self._position.attempt or await self._newest_attempt()
            except grpc.RpcError as error:
                self._call = None
                if not self._closed:
                    await asyncio.sleep(self._position.lost(error, time.monotonic()))
            except asyncio.CancelledError:
                self._call = None
                if self._closed:
                    break
                raise
        raise StopAsyncIteration

    def close(self) -> None:
        """Ends the iteration; the iterator gives nothing more."""
        self._closed = True
        if self._call is not None:
            self._call.cancel()

    async def __aenter__(self) -> AsyncLogStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


async def tail(caller: AsyncCaller, job_id: str, attempt: int) -> str:
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
            call = caller.stream("StreamLogs", position.opened(0.0), TAIL_SECONDS)
            while (message := await caller.read(call)) is not None:
                end = (end + message.data)[-TAIL_BYTES:]
        except grpc.RpcError:
            return ""
        if end.strip():
            return end.decode(errors="replace")
    return ""
