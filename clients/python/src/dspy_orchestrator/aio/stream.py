"""The server's events as an asynchronous iterator that survives lost connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any

import grpc

from dspy_orchestrator.aio.calls import AsyncCaller
from dspy_orchestrator.model import Event
from dspy_orchestrator.subscription import Subscription


class AsyncEventStream(AsyncIterator[Event]):
    """Events in sequence order, each exactly once, across any number of lost connections.

    Made by AsyncClient.events. A wait that is cancelled, as by ``asyncio.wait_for``, loses nothing: the next one goes
    on behind the last event handed out.
    """

    def __init__(
        self,
        caller: AsyncCaller,
        subscription: Subscription,
        is_done: Callable[[str], Awaitable[bool]],
        find_now: Callable[[], Awaitable[int | None]] | None,
    ) -> None:
        self._caller = caller
        self._subscription = subscription
        self._is_done = is_done
        self._find_now = find_now
        self._call: Any = None
        self._closed = False

    @property
    def last_sequence(self) -> int:
        """Sequence of the last event handed out, or where the stream began."""
        return self._subscription.after

    def __aiter__(self) -> AsyncEventStream:
        return self

    async def __anext__(self) -> Event:
        while not self._closed:
            error: grpc.RpcError | None = None
            try:
                message = await self._caller.read(await self._opened())
                if message is not None:
                    event = self._subscription.received(message)
                    if event is not None:
                        return event
                    continue
                self._call = None
                if await self._ended():
                    self.close()
                    break
            except grpc.RpcError as raised:
                self._call = None
                error = raised
            except asyncio.CancelledError:
                # gRPC ends the call of a read that is cancelled.
                self._call = None
                if self._closed:
                    break
                raise
            if not self._closed:
                await asyncio.sleep(self._subscription.lost(error, time.monotonic()))
        raise StopAsyncIteration

    def close(self) -> None:
        """Ends the iteration; the iterator gives nothing more."""
        self._closed = True
        if self._call is not None:
            self._call.cancel()

    async def __aenter__(self) -> AsyncEventStream:
        await self._locate()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _locate(self) -> None:
        """Turns "now" into a sequence before the stream opens; see Client.events."""
        if self._find_now is not None:
            now = await self._find_now()
            self._find_now = None
            if now is not None:
                self._subscription.start_after(now)

    async def _opened(self) -> Any:
        if self._call is None:
            await self._locate()
            request, timeout = self._subscription.opened(time.monotonic())
            self._call = self._caller.stream("StreamEvents", request, timeout)
        return self._call

    async def _ended(self) -> bool:
        """An OK end is the end only when every job has indeed ended: some before the cursor, so the server is asked."""
        if not self._subscription.may_end:
            return False
        for job_id in self._subscription.pending:
            if not await self._is_done(job_id):
                return False
        return True
